import FoundationEssentials
import Logging
import NIOCore
import SyncAuth
import SyncProtocol
import Synchronization

/// One client connection: a task group of its reader (with the lanes of its requests), its lifetime, and the wait for the
/// transport's end. What may happen when is decided by `SessionStateMachine`.
final class Session: Sendable {
    // Fixed after init.
    let id = ConnectionID(UUID())
    let connection: any FrameConnection
    let services: EngineServices
    let logger: Logger
    private let onAuthenticated: @Sendable () -> Void

    // Guarded by itself: read loop, lanes, timers and shutdown.
    private let state = Mutex(SessionStateMachine())

    init(
        connection: any FrameConnection, family: ProtocolFamily, services: EngineServices,
        onAuthenticated: @escaping @Sendable () -> Void
    ) {
        self.connection = connection
        self.onAuthenticated = onAuthenticated
        self.services = services
        var logger = services.logger
        logger[metadataKey: LogKey.connectionID.rawValue] = .string(self.id.wireText)
        logger[metadataKey: LogKey.family.rawValue] = .string(family.rawValue)
        self.logger = logger
    }

    /// From the handshake to the end of the transport.
    func run() async {
        if let mailbox = await self.shakeHands() { await self.serveOpen(mailbox) }
        // Whoever closed first wins; this is for a session whose task was cancelled.
        self.connection.close(.goingAway)
        await self.connection.waitUntilClosed()
    }

    /// Lets requests in progress finish, begins none, then closes with `frame`.
    func drain(_ frame: CloseFrame) {
        if let frame = self.state.withLock({ $0.drain(frame) }) { self.close(frame) }
    }

    /// Replaces the identity for later requests.
    func refresh(_ principal: Principal) { self.state.withLock { $0.refreshed(principal) } }

    var principal: Principal? { self.state.withLock { $0.principal } }

    func close(_ frame: CloseFrame) {
        self.logger.debug(
            "Connection closing",
            metadata: Logger.metadata([.closeCode: "\(frame.code)", .closeReason: frame.reason]))
        self.connection.close(frame)
    }

    // MARK: - Handshake

    /// - Returns: The key to register under, or `nil` when the connection was closed.
    private func shakeHands() async -> MailboxKey? {
        let message = await self.firstMessage()
        let action = self.state.withLock { state in
            message.map { state.received($0) } ?? state.authTimedOut()
        }
        switch action {
        case .authenticate(let token):
            return await self.authenticate(token)
        case .close(let frame):
            self.close(frame)
        case .request, .notification, .ignore, .closeEcho, .stop:
            break
        }
        return nil
    }

    /// `nil` when the auth timeout passes first.
    private func firstMessage() async -> ReceivedMessage? {
        await withTaskGroup(of: ReceivedMessage?.self) { group in
            group.addTask { await self.connection.receive() }
            group.addTask {
                // Cancelled with its session, it must not look like a timeout.
                do { try await self.services.clock.sleep(for: self.services.configuration.authTimeout) } catch {
                    return .ended(.closedLocally)
                }
                return nil
            }
            let first = await group.next()
            group.cancelAll()
            return first ?? nil
        }
    }

    private func authenticate(_ token: String) async -> MailboxKey? {
        let result: Result<Principal, TokenError>
        do {
            result = .success(try await self.services.tokens.validate(token))
        } catch {
            result = .failure(error)
        }
        switch self.state.withLock({ $0.authenticated(result) }) {
        case .register(let mailbox):
            self.onAuthenticated()
            return mailbox
        case .close(let frame): self.close(frame)
        case .stop: break
        }
        return nil
    }

    // MARK: - Open

    private func serveOpen(_ mailbox: MailboxKey) async {
        let subscriber = Subscriber(id: self.id, connection: self.connection, mailbox: mailbox)
        guard self.services.broker.register(subscriber) else {
            self.state.withLock { $0.ended() }
            return self.close(.tooManyConnections)
        }
        self.logger.debug("Connection open")
        await withTaskGroup(of: Part.self) { group in
            group.addTask {
                await self.readLoop()
                return .reader
            }
            group.addTask {
                await self.connection.waitUntilClosed()
                return .transport
            }
            group.addTask {
                await self.watchLifetime()
                return .timer
            }
            if self.services.configuration.enforcesTokenExpiry {
                group.addTask {
                    await self.watchTokenExpiry()
                    return .timer
                }
            }
            while await group.next() == .timer {}
            // Reading or the transport is over: nobody is to be notified any more, and no answer would arrive.
            self.state.withLock { $0.ended() }
            self.services.presence.connectionEnded(self.id)
            self.services.broker.deregister(self.id)
            group.cancelAll()
        }
    }

    private enum Part: Equatable { case reader, transport, timer }

    private func readLoop() async {
        await withTaskGroup(of: Void.self) { lanes in
            var streams: RequestQueue<StreamingRequest>?
            while self.state.withLock({ $0.mayRead }) {
                let message = await self.connection.receive()
                switch self.state.withLock({ $0.received(message) }) {
                case .ignore:
                    continue
                case .notification(let notification, let principal):
                    self.handle(notification, as: principal)
                case .request(let request, let principal):
                    let context = self.context(of: request, as: principal)
                    guard let row = self.services.methods.request(request.method), row.lane == .streaming else {
                        await self.handle(request, context)
                        continue
                    }
                    let queue = streams ?? self.startStreamingLane(in: &lanes)
                    streams = queue
                    let isQueued = await queue.append(
                        StreamingRequest(request: request, context: context),
                        cost: request.params.item?.readableBytes ?? 0)
                    if !isQueued { self.finishWork() }
                case .close(let frame):
                    self.close(frame)
                case .closeEcho:
                    self.connection.closeEcho()
                case .authenticate, .stop:
                    break
                }
            }
            // A draining connection answers what was asked. Otherwise nobody reads the rest, and a pull that waits for room
            // must not wait any longer: whoever closed first wins.
            if self.state.withLock({ $0.isDraining }) {
                streams?.finish()
            } else {
                self.connection.close(.goingAway)
                lanes.cancelAll()
            }
        }
    }

    /// One more request of the streaming lane, with the identity it came under.
    private struct StreamingRequest: Sendable {
        let request: ClientFrame.Request
        let context: RPCContext
    }

    private func startStreamingLane(in lanes: inout TaskGroup<Void>) -> RequestQueue<StreamingRequest> {
        let queue = RequestQueue<StreamingRequest>(
            elementsMax: Limits.streamingRequestsQueuedMax, costMax: Limits.messageBytesMax)
        lanes.addTask {
            while let next = await queue.next() { await self.handle(next.request, next.context) }
        }
        return queue
    }

    // MARK: - Time

    private func watchLifetime() async {
        let lifetime = self.services.configuration.connectionLifetime * self.services.randomness.lifetimeFactor()
        await self.close(.lifetimeReached, after: lifetime)
    }

    /// Looks at the time at least once a minute: the identity may be replaced, and the wall clock may be set.
    private func watchTokenExpiry() async {
        while let principal = self.principal {
            var remaining = Duration.seconds(60)
            if let expiresAt = principal.expiresAt {
                remaining = .seconds(Double(expiresAt) + 60 - self.services.unixTime())
            }
            if remaining <= .zero { return await self.close(.tokenExpired, after: .zero) }
            do { try await self.services.clock.sleep(for: min(remaining, .seconds(60))) } catch { return }
        }
    }

    private func close(_ frame: CloseFrame, after delay: Duration) async {
        do {
            try await self.services.clock.sleep(for: delay)
            self.drain(frame)
            try await self.services.clock.sleep(for: self.services.configuration.requestGrace)
            self.close(frame)
        } catch {
            // The session ended before its time.
        }
    }

    // MARK: - Requests

    func finishWork() {
        if let frame = self.state.withLock({ $0.finishedWork() }) { self.close(frame) }
    }
}
