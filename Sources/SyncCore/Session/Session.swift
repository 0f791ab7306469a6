import FoundationEssentials
import Logging
import NIOCore
import SyncAuth
import SyncProtocol
import Synchronization

/// One client connection: a task that waits for the end of the transport, and below it one that reads and one that watches
/// the time. What may happen when is decided by `SessionStateMachine`.
///
/// A task keeps the memory of its deepest call until it ends, and a connection mostly lies idle for an hour. So these tasks
/// do little themselves: the handshake and each request run in children of their own.
final class Session: Sendable {
    // Fixed after init.
    let id = ConnectionID(UUID())
    let connection: any FrameConnection
    let family: ProtocolFamily
    let logger: Logger
    private let engine: SyncEngine
    private let onAuthenticated: @Sendable () -> Void

    // Guarded by itself: read loop, lanes, timers and shutdown.
    private let state = Mutex(SessionStateMachine())

    init(
        connection: any FrameConnection, family: ProtocolFamily, engine: SyncEngine,
        onAuthenticated: @escaping @Sendable () -> Void
    ) {
        self.connection = connection
        self.family = family
        self.engine = engine
        self.onAuthenticated = onAuthenticated
        var logger = engine.services.logger
        logger[metadataKey: LogKey.connectionID.rawValue] = .string(self.id.wireText)
        logger[metadataKey: LogKey.family.rawValue] = .string(family.rawValue)
        self.logger = logger
    }

    var services: EngineServices { self.engine.services }

    /// From the handshake to the end of the transport.
    func run() async {
        // Cancelled and awaited at the end of this scope: no answer would arrive any more.
        async let _: Void = self.read()
        await self.connection.waitUntilClosed()
        self.leave()
    }

    private func read() async {
        if let mailbox = await inChildTask({ await self.shakeHands() }) { await self.serve(mailbox) }
        // Whoever closed first wins; this is for a session whose task was cancelled.
        self.connection.close(.goingAway)
        self.leave()
    }

    /// From now on nobody is notified here.
    private func leave() {
        self.state.withLock { $0.ended() }
        self.services.presence.connectionEnded(self.id)
        self.services.broker.deregister(self.id)
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

    private func serve(_ mailbox: MailboxKey) async {
        let subscriber = Subscriber(id: self.id, connection: self.connection, mailbox: mailbox)
        guard self.services.broker.register(subscriber) else {
            self.state.withLock { $0.ended() }
            return self.close(.tooManyConnections)
        }
        self.logger.debug("Connection open")
        await withDiscardingTaskGroup { group in
            group.addTask { await self.watchLifetime() }
            if self.services.configuration.enforcesTokenExpiry {
                group.addTask { await self.watchTokenExpiry() }
            }
            await self.readRequests(&group)
            // A draining connection answers what was asked, and its timer sees to it that this takes no longer than it may.
            // Otherwise a pull that waits for room must not wait any longer.
            if !self.state.withLock({ $0.isDraining }) {
                self.connection.close(.goingAway)
                group.cancelAll()
            }
        }
    }

    private func readRequests(_ group: inout DiscardingTaskGroup) async {
        var streams: RequestQueue<PendingRequest>?
        while self.state.withLock({ $0.mayRead }) {
            guard let pending = self.take(await self.connection.receive()) else { continue }
            guard pending.lane == .streaming else {
                await inChildTask { await self.handle(pending.request, pending.context) }
                continue
            }
            let queue =
                streams
                ?? RequestQueue(
                    elementsMax: Limits.streamingRequestsQueuedMax, costMax: Limits.messageBytesMax)
            streams = queue
            switch await queue.append(pending, cost: pending.request.params.item?.readableBytes ?? 0) {
            case .queued: break
            case .cancelled: self.finishWork()
            case .needsConsumer:
                group.addTask {
                    while let next = queue.next() { await self.handle(next.request, next.context) }
                }
            }
        }
    }

    /// A request with the identity it came under.
    private struct PendingRequest: Sendable {
        let request: ClientFrame.Request
        let context: RPCContext
        let lane: MethodTable.Lane
    }

    /// Deals with a message unless it is a request. Not inlined, so that what this needs is not part of the waiting task.
    @inline(never)
    private func take(_ message: ReceivedMessage) -> PendingRequest? {
        switch self.state.withLock({ $0.received(message) }) {
        case .request(let request, let principal):
            let row = self.services.methods.request(request.method)
            return PendingRequest(
                request: request, context: self.context(id: request.id, row?.method, as: principal),
                lane: row?.lane ?? .ordinary)
        case .notification(let notification, let principal): self.handle(notification, as: principal)
        case .close(let frame): self.close(frame)
        case .closeEcho: self.connection.closeEcho()
        case .ignore, .authenticate, .stop: break
        }
        return nil
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
