import FoundationEssentials
import Logging
import NIOCore
import SyncAuth
import SyncProtocol
import Synchronization

/// One client connection: a task that reads. What may happen when is decided by `SessionStateMachine`; the time is watched
/// for all connections together, by `LifetimeWatch`.
///
/// A task keeps the memory of its deepest call until it ends, and a connection mostly lies idle for an hour. So there is but
/// one, and it does little itself: the handshake and each request run in children of it.
final class Session: Sendable {
    private struct State {
        var machine = SessionStateMachine()
        /// Set when the connection opens.
        var deadlines: SessionDeadlines?
        /// The handshake or a request of the ordinary lane is in progress: nothing is read.
        var isBusy = false
        /// The reading task, when it waits for such work.
        var reader: CheckedContinuation<Void, Never>?
    }

    // Fixed after init.
    let id = ConnectionID(UUID())
    let connection: any FrameConnection
    let family: ProtocolFamily
    private let engine: SyncEngine
    private let onAuthenticated: @Sendable () -> Void
    /// On the stopwatch of `LifetimeWatch`.
    private let authenticationEnd: Duration
    private let start = ContinuousClock.now

    // Written by the read loop alone.
    private let hasAuthenticated = Atomic(false)
    private let requests = Atomic(0)

    // Guarded by itself: reading task, lanes, timers and shutdown.
    private let state = Mutex(State())

    init(
        connection: any FrameConnection, family: ProtocolFamily, engine: SyncEngine,
        onAuthenticated: @escaping @Sendable () -> Void
    ) {
        self.connection = connection
        self.family = family
        self.engine = engine
        self.onAuthenticated = onAuthenticated
        self.authenticationEnd = engine.lifetimes.authenticationEnd()
    }

    var services: EngineServices { self.engine.services }

    /// Names the connection in each line. Made anew each time, because it takes most of a KiB.
    var logger: Logger {
        var logger = self.services.logger
        logger[metadataKey: LogKey.connectionID.rawValue] = .string(self.id.wireText)
        logger[metadataKey: LogKey.family.rawValue] = .string(self.family.rawValue)
        return logger
    }

    func debug(_ message: Logger.Message, _ metadata: @autoclosure () -> Logger.Metadata = [:]) {
        guard self.services.logger.logLevel <= .debug else { return }
        self.logger.debug(message, metadata: metadata())
    }

    /// From the handshake to the end of the transport.
    func run() async {
        self.connection.whenClosed { self.leave() }
        self.engine.lifetimes.schedule(self)
        await withDiscardingTaskGroup { group in
            self.begin(in: &group) { await self.shakeHands() }
            await self.waitForWork()
            await self.readRequests(in: &group)
            // A draining connection answers what was asked, and its deadline sees to it that this takes no longer than it may.
            // Otherwise a pull that waits for room must not wait any longer.
            await self.wait { $0.machine.isDraining }
            // Whoever closed first wins; this is for a session whose task was cancelled.
            self.connection.close(.goingAway)
            group.cancelAll()
        }
        self.leave()
        await self.connection.waitUntilClosed()
        self.reportEnd()
    }

    /// From now on nobody is notified here, and no request is waited for: no answer would arrive any more.
    private func leave() {
        let reader = self.state.withLock { state in
            state.machine.ended()
            return state.reader.take()
        }
        reader?.resume()
        self.services.presence.connectionEnded(self.id)
        self.services.broker.deregister(self.id)
    }

    /// The one line about a connection that everybody reads. Whoever never authenticated could fill a disk with them.
    @inline(never)
    private func reportEnd() {
        let report = self.connection.report
        self.logger.log(
            level: self.hasAuthenticated.load(ordering: .relaxed) ? .info : .debug, "connection ended",
            metadata: Logger.metadata([
                .reason: report.reason.rawValue,
                .durationMilliseconds: "\(Int((ContinuousClock.now - self.start) / .milliseconds(1)))",
                .requests: "\(self.requests.load(ordering: .relaxed))",
                .messagesIn: "\(report.messagesIn)", .bytesIn: "\(report.bytesIn)",
                .messagesOut: "\(report.messagesOut)", .bytesOut: "\(report.bytesOut)",
            ]))
    }

    /// Lets requests in progress finish, begins none, then closes with `frame`.
    func drain(_ frame: CloseFrame) {
        if let frame = self.state.withLock({ $0.machine.drain(frame) }) { self.close(frame) }
    }

    /// Replaces the identity for later requests.
    func refresh(_ principal: Principal) { self.state.withLock { $0.machine.refreshed(principal) } }

    var principal: Principal? { self.state.withLock { $0.machine.principal } }

    func close(_ frame: CloseFrame) {
        self.debug(
            "Connection closing", Logger.metadata([.closeCode: "\(frame.code)", .closeReason: frame.reason]))
        self.connection.close(frame)
    }

    // MARK: - Handshake

    private func shakeHands() async {
        let message = await self.connection.receive()
        switch self.state.withLock({ $0.machine.received(message) }) {
        case .authenticate(let token): await self.authenticate(token)
        case .close(let frame):
            if case .ended = message {} else { self.services.metrics.handshakeHadNoToken() }
            self.close(frame)
        case .request, .notification, .ignore, .closeEcho, .stop: break
        }
    }

    private func authenticate(_ token: String) async {
        let result: Result<Principal, TokenError>
        do {
            result = .success(try await self.services.tokens.validate(token))
        } catch {
            result = .failure(error)
        }
        switch self.state.withLock({ $0.machine.authenticated(result) }) {
        case .register(let mailbox):
            self.hasAuthenticated.store(true, ordering: .relaxed)
            self.onAuthenticated()
            self.open(mailbox)
        case .close(let frame): self.close(frame)
        case .stop: break
        }
    }

    private func open(_ mailbox: MailboxKey) {
        let subscriber = Subscriber(id: self.id, connection: self.connection, mailbox: mailbox)
        guard self.services.broker.register(subscriber) else {
            self.state.withLock { $0.machine.ended() }
            return self.close(.tooManyConnections)
        }
        let deadlines = self.engine.lifetimes.makeDeadlines()
        self.state.withLock { $0.deadlines = deadlines }
        self.engine.lifetimes.schedule(self)
        self.debug("Connection open")
    }

    // MARK: - Open

    private func readRequests(in group: inout DiscardingTaskGroup) async {
        var streams: RequestQueue<PendingRequest>?
        while self.state.withLock({ $0.machine.mayRead }) {
            guard let pending = self.take(await self.connection.receive()) else { continue }
            guard pending.lane == .streaming else {
                self.begin(in: &group) { await self.handle(pending.request, pending.context) }
                await self.waitForWork()
                continue
            }
            let queue =
                streams
                ?? RequestQueue(
                    elementsMax: Limits.streamingRequestsQueuedMax, costMax: Limits.messageBytesMax)
            streams = queue
            await self.queue(pending, on: queue, in: &group)
        }
    }

    /// Not inlined, so that what this needs is not part of the waiting task.
    @inline(never)
    private func queue(
        _ pending: PendingRequest, on queue: RequestQueue<PendingRequest>, in group: inout DiscardingTaskGroup
    ) async {
        switch await queue.append(pending, cost: pending.request.params.item?.readableBytes ?? 0) {
        case .queued: break
        case .cancelled: self.finishWork()
        case .needsConsumer:
            group.addTask {
                while let next = queue.next() { await self.handle(next.request, next.context) }
            }
        }
    }

    /// A request with the identity it came under. An object, so that the waiting task has no room for one.
    private final class PendingRequest: Sendable {
        let request: ClientFrame.Request
        let context: RPCContext
        let lane: MethodTable.Lane

        init(_ request: ClientFrame.Request, _ context: RPCContext, _ lane: MethodTable.Lane) {
            self.request = request
            self.context = context
            self.lane = lane
        }
    }

    /// Deals with a message unless it is a request. Not inlined, so that what this needs is not part of the waiting task.
    @inline(never)
    private func take(_ message: ReceivedMessage) -> PendingRequest? {
        switch self.state.withLock({ $0.machine.received(message) }) {
        case .request(let request, let principal):
            self.requests.wrappingAdd(1, ordering: .relaxed)
            let row = self.services.methods.request(request.method)
            return PendingRequest(
                request, self.context(id: request.id, row?.method, as: principal), row?.lane ?? .ordinary)
        case .notification(let notification, let principal): self.handle(notification, as: principal)
        case .close(let frame): self.close(frame)
        case .closeEcho: self.connection.closeEcho()
        case .ignore, .authenticate, .stop: break
        }
        return nil
    }

    // MARK: - Requests

    /// Runs `work` in a child, which takes the memory it needed with it. `waitForWork` returns when it has ended.
    private func begin(in group: inout DiscardingTaskGroup, _ work: @escaping @Sendable () async -> Void) {
        self.state.withLock { $0.isBusy = true }
        group.addImmediateTask {
            await work()
            let reader = self.state.withLock { state in
                state.isBusy = false
                return state.reader.take()
            }
            reader?.resume()
        }
    }

    /// Returns early when the connection is closed.
    private func waitForWork() async { await self.wait { $0.isBusy && !$0.machine.isClosed } }

    /// Needs no cancellation: that of the task is also that of the work it waits for.
    private func wait(while isWaiting: @Sendable (State) -> Bool) async {
        while self.state.withLock({ isWaiting($0) }) {
            await withCheckedContinuation { reader in
                let isOver = self.state.withLock { state in
                    guard isWaiting(state) else { return true }
                    state.reader = reader
                    return false
                }
                if isOver { reader.resume() }
            }
        }
    }

    func finishWork() {
        let (frame, reader) = self.state.withLock { state in
            let frame = state.machine.finishedWork()
            return (frame, frame == nil ? nil : state.reader.take())
        }
        if let frame { self.close(frame) }
        reader?.resume()
    }

    // MARK: - Time

    /// Closes the connection if its time is over.
    ///
    /// - Returns: How long until there may be something to do; `nil` for a connection that is closed.
    func endIfOverdue(at now: Duration, unixTime: Double) -> Duration? {
        let (frame, next) = self.state.withLock { state in
            (self.overdue(&state, now, unixTime), self.delay(state, now, unixTime))
        }
        if let frame { self.close(frame) }
        return next
    }

    /// - Returns: The frame to close with, if it is time.
    private func overdue(_ state: inout State, _ now: Duration, _ unixTime: Double) -> CloseFrame? {
        if state.machine.isAwaitingAuth {
            guard now >= self.authenticationEnd, case .close(let frame) = state.machine.authTimedOut() else {
                return nil
            }
            return frame
        }
        guard let principal = state.machine.principal else { return nil }
        switch state.deadlines?.action(at: now, tokenExpiry: principal.expiresAt, unixTime: unixTime) {
        case .drain(let frame): return state.machine.drain(frame)
        case .close(let frame): return frame
        case .some(.none), nil: return nil
        }
    }

    private func delay(_ state: State, _ now: Duration, _ unixTime: Double) -> Duration? {
        if state.machine.isAwaitingAuth { return self.authenticationEnd - now }
        guard let principal = state.machine.principal else { return nil }
        return state.deadlines?.next(at: now, tokenExpiry: principal.expiresAt, unixTime: unixTime)
    }
}
