import Logging
import SyncStorage
import Synchronization

/// Connections to one database: made when they are needed, kept while they work, never more than the configured number.
///
/// After an outage nothing has to be mended: connections that were lost are not used again, and the next caller makes a
/// new one.
final class PostgresPool: Sendable {
    private typealias Waiter = CheckedContinuation<Bool, Never>
    private typealias Queue = any WritableKeyPath<State, PermitQueue<Waiter>> & Sendable

    private struct State {
        var permits: PermitQueue<Waiter>
        var pullPermits: PermitQueue<Waiter>
        /// The last one given back is used first.
        var idle: [PostgresConnection] = []
        /// Those that pulls have.
        var pulling: [ObjectIdentifier: PostgresConnection] = [:]
        var closing: CheckedContinuation<Void, Never>?
        var backoff = ConnectBackoff()
        /// Since when failures to connect are in the log; `nil` while PostgreSQL answers.
        var outage: (began: ContinuousClock.Instant, lastLogged: ContinuousClock.Instant)?

        var isIdleButForPulls: Bool { self.permits.inUse <= self.pulling.count }
    }

    // Fixed after init.
    let configuration: PostgresConfiguration
    private let thread: EventThread
    private let logger: Logger

    // Guarded by itself.
    private let state: Mutex<State>

    init(_ configuration: PostgresConfiguration, thread: EventThread, logger: Logger) {
        self.configuration = configuration
        self.thread = thread
        self.logger = logger
        let limit = configuration.waitLimit
        self.state = Mutex(
            State(
                permits: PermitQueue(permits: max(1, configuration.poolSize), waitLimit: limit),
                pullPermits: PermitQueue(permits: max(1, configuration.poolSize - 2), waitLimit: limit)))
    }

    var isClosed: Bool { self.state.withLock { $0.permits.isClosed } }

    /// Pulls with and without a connection.
    func addStatistics(to statistics: inout StorageStatistics) {
        self.state.withLock { state in
            statistics.pullsOpen = state.pullPermits.inUse
            statistics.pullsWaiting = state.pullPermits.waitingCount
            statistics.connections = max(1, self.configuration.poolSize)
            statistics.connectionsInUse = state.permits.inUse
        }
    }

    /// Lends a connection to `body`, in the order of the calls.
    ///
    /// - Parameter isCancellable: Whether a cancelled task gives up its place in the queue. Not for one that acts for others.
    /// - Throws: `.unavailable` when there is none within the limit, and when the task is cancelled while it waits; what
    ///   `body` throws.
    func withConnection<Result: Sendable, Failure: Error>(
        isCancellable: Bool = true,
        _ body: (PostgresConnection) async throws(Failure) -> Result,
        unavailable: (StorageError) -> Failure
    ) async throws(Failure) -> Result {
        let connection: PostgresConnection
        do { connection = try await self.acquire(isCancellable) } catch { throw unavailable(error) }
        defer { self.release(connection) }
        return try await body(connection)
    }

    /// As `withConnection`, for a pull: at most pool size − 2 at once (docs/contract/storage.md Δ-S14).
    func withPullConnection<Result: Sendable>(
        _ body: (PostgresConnection) async throws -> Result
    ) async throws -> Result {
        try await self.wait(for: \.pullPermits, isCancellable: true)
        defer { self.giveBack(\.pullPermits) }
        return try await self.withConnection(
            { connection in
                let id = ObjectIdentifier(connection)
                let isClosed = self.state.withLock { state in
                    state.pulling[id] = connection
                    return state.permits.isClosed
                }
                defer { self.state.withLock { $0.pulling[id] = nil } }
                if isClosed { throw StorageError.unavailable }
                return try await body(connection)
            }, unavailable: { $0 })
    }

    /// Refuses new callers, cuts off open pulls, waits for everybody else who has a connection, and closes all. The event
    /// thread ends too.
    func close() async {
        let (waiters, pulling) = self.state.withLock { state in
            (state.permits.close() + state.pullPermits.close(), Array(state.pulling.values))
        }
        for waiter in waiters { waiter.resume(returning: false) }
        for connection in pulling { connection.close() }
        await withCheckedContinuation { continuation in
            let isIdle = self.state.withLock { state in
                if state.isIdleButForPulls { return true }
                state.closing = continuation
                return false
            }
            if isIdle { continuation.resume() }
        }
        let idle = self.state.withLock { state in
            defer { state.idle = [] }
            return state.idle
        }
        for connection in idle { connection.close() }
        self.thread.stop()
    }

    /// Refuses new callers, and cuts off everybody who has a connection or is about to get one.
    func abandon() {
        let waiters = self.state.withLock { $0.permits.close() + $0.pullPermits.close() }
        for waiter in waiters { waiter.resume(returning: false) }
        // With the thread end all connections, those beside the pool among them.
        self.thread.stop()
    }

    // MARK: - Connections

    private func acquire(_ isCancellable: Bool) async throws(StorageError) -> PostgresConnection {
        try await self.wait(for: \.permits, isCancellable: isCancellable)
        while let idle = self.state.withLock({ $0.idle.popLast() }) {
            if idle.isUsable { return idle }
            idle.close()
        }
        do {
            return try await self.connect()
        } catch {
            self.giveBack(\.permits)
            throw error
        }
    }

    private func connect() async throws(StorageError) -> PostgresConnection {
        guard let attempt = self.state.withLock({ $0.backoff.attempt(at: .now) }) else { throw .unavailable }
        do {
            let connection = try await PostgresConnection.connect(
                to: self.configuration.url, on: self.thread, within: self.configuration.waitLimit,
                settings: .sessionSettings(waitLimit: self.configuration.waitLimit),
                log: { [self] in self.noteFailure($0) }, notice: { [logger] in logger.note($0) })
            self.noteSuccess()
            return connection
        } catch {
            self.state.withLock { $0.backoff.failed(attempt, at: .now) }
            throw error
        }
    }

    private func release(_ connection: PostgresConnection) {
        let isKept = self.state.withLock { state in
            guard connection.isUsable, !state.permits.isClosed else { return false }
            state.idle.append(connection)
            return true
        }
        if !isKept { connection.close() }
        self.giveBack(\.permits)
    }

    // MARK: - Outages

    /// Every caller of an outage fails to connect: one line of log in ten seconds tells of all.
    private func noteFailure(_ reason: String) {
        let isLogged = self.state.withLock { state in
            let now = ContinuousClock.now
            if let outage = state.outage, outage.lastLogged + PostgresLimits.outageLogInterval > now { return false }
            state.outage = (state.outage?.began ?? now, now)
            return true
        }
        if isLogged { self.logger.error("Cannot connect to PostgreSQL", metadata: ["reason": "\(reason)"]) }
    }

    private func noteSuccess() {
        let outage = self.state.withLock { state in
            state.backoff.succeeded()
            return state.outage.take()
        }
        guard let outage else { return }
        let duration = outage.began.duration(to: .now)
        self.logger.info("PostgreSQL answers again", metadata: ["outage_ms": "\(duration / .milliseconds(1))"])
    }

    // MARK: - Permits

    private func wait(for queue: Queue, isCancellable: Bool) async throws(StorageError) {
        guard isCancellable else { return try await self.wait(for: queue) { _ in } }
        let place = Mutex<PermitQueue<Waiter>.Ticket?>(nil)
        let result: Result<Void, StorageError> = await withTaskCancellationHandler {
            do throws(StorageError) {
                try await self.wait(for: queue) { ticket in
                    place.withLock { $0 = ticket }
                    // The handler may have run before there was a place.
                    if Task.isCancelled { self.giveUp(ticket, in: queue) }
                }
                return .success(())
            } catch {
                return .failure(error)
            }
        } onCancel: {
            if let ticket = place.withLock({ $0 }) { self.giveUp(ticket, in: queue) }
        }
        try result.get()
    }

    private func wait(
        for queue: Queue, _ waits: (PermitQueue<Waiter>.Ticket) -> Void
    ) async throws(StorageError) {
        let isGranted = await withCheckedContinuation { (waiter: Waiter) in
            switch self.state.withLock({ $0[keyPath: queue].ask(waiter, at: .now) }) {
            case .granted: waiter.resume(returning: true)
            case .refused: waiter.resume(returning: false)
            case .waits(let ticket, startsTimer: let due):
                // A thread that has been stopped has no waiters: closing refuses them first.
                if let due { self.thread.submit { self.expireWaiters(of: queue, at: due) } }
                waits(ticket)
            }
        }
        guard isGranted else { throw .unavailable }
    }

    private func giveUp(_ ticket: PermitQueue<Waiter>.Ticket, in queue: Queue) {
        let waiter = self.state.withLock { $0[keyPath: queue].giveUp(ticket) }
        waiter?.resume(returning: false)
    }

    /// On the event thread.
    private func expireWaiters(of queue: Queue, at due: ContinuousClock.Instant) {
        _ = self.thread.startTimer(at: due) { [self] in
            let expiry = self.state.withLock { $0[keyPath: queue].expire(at: .now) }
            for waiter in expiry.waiters { waiter.resume(returning: false) }
            if let next = expiry.next { self.expireWaiters(of: queue, at: next) }
        }
    }

    private func giveBack(_ queue: Queue) {
        let (next, closing) = self.state.withLock { state in
            let next = state[keyPath: queue].giveBack()
            let isIdle = state.permits.isClosed && state.isIdleButForPulls
            return (next, isIdle ? state.closing.take() : nil)
        }
        next?.resume(returning: true)
        closing?.resume()
    }
}

extension Logger {
    /// Logs what the server remarks.
    func note(_ notice: PostgresNotice) {
        self.log(
            level: notice.isWarning ? .warning : .debug, "PostgreSQL remarks",
            metadata: ["severity": "\(notice.severity)", "notice": "\(notice.message)"])
    }
}
