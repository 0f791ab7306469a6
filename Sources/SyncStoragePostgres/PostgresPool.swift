import Logging
import SyncStorage
import Synchronization

/// Connections to one database: made when they are needed, kept while they work, never more than the configured number.
///
/// After an outage nothing has to be mended: connections that were lost are not used again, and the next caller makes a
/// new one.
final class PostgresPool: Sendable {
    private typealias Waiter = CheckedContinuation<Bool, Never>

    private struct State {
        var permits: PermitQueue<Waiter>
        var pullPermits: PermitQueue<Waiter>
        var idle: [PostgresConnection] = []
        /// Those that pulls have.
        var pulling: [ObjectIdentifier: PostgresConnection] = [:]
        var closing: CheckedContinuation<Void, Never>?
        /// `close()` has come to its end.
        var hasClosed = false
        var isStopped = false

        var isIdleButForPulls: Bool { self.permits.inUse <= self.pulling.count }

        /// Whether the caller is to stop the event thread: once, when no connection is lent any more.
        mutating func takesStop() -> Bool {
            guard self.permits.isClosed, self.permits.inUse == 0, !self.isStopped else { return false }
            self.isStopped = true
            return true
        }
    }

    // Fixed after init.
    private let configuration: PostgresConfiguration
    private let thread: EventThread
    private let logger: Logger

    // Guarded by itself.
    private let state: Mutex<State>

    init(_ configuration: PostgresConfiguration, thread: EventThread, logger: Logger) {
        self.configuration = configuration
        self.thread = thread
        self.logger = logger
        self.state = Mutex(
            State(
                permits: PermitQueue(permits: max(1, configuration.poolSize)),
                pullPermits: PermitQueue(permits: max(1, configuration.poolSize - 2))))
    }

    var isClosed: Bool { self.state.withLock { $0.permits.isClosed } }

    /// Pulls with and without a connection.
    func addStatistics(to statistics: inout StorageStatistics) {
        self.state.withLock { state in
            statistics.pullsOpen = state.pullPermits.inUse
            statistics.pullsWaiting = state.pullPermits.waitingCount
        }
    }

    /// Lends a connection to `body`, in the order of the calls.
    ///
    /// - Throws: `.unavailable` when there is none within the limit; what `body` throws.
    func withConnection<Result: Sendable, Failure: Error>(
        _ body: (PostgresConnection) async throws(Failure) -> Result,
        unavailable: (StorageError) -> Failure
    ) async throws(Failure) -> Result {
        let connection: PostgresConnection
        do { connection = try await self.acquire() } catch { throw unavailable(error) }
        do {
            let result = try await body(connection)
            await self.release(connection)
            return result
        } catch {
            await self.release(connection)
            throw error
        }
    }

    /// As `withConnection`, for a pull: at most pool size − 2 at once (docs/contract/storage.md Δ-S14).
    func withPullConnection<Result: Sendable>(
        _ body: (PostgresConnection) async throws -> Result
    ) async throws -> Result {
        try await self.wait(for: \.pullPermits)
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

    /// Refuses new callers, ends open pulls, waits for everybody else who has a connection, and closes all. The event
    /// thread ends with the last connection.
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
        let (idle, isLast) = self.state.withLock { state in
            defer { state.idle = [] }
            state.hasClosed = true
            return (state.idle, state.takesStop())
        }
        for connection in idle { connection.close() }
        if isLast { self.thread.stop() }
    }

    // MARK: - Connections

    private func acquire() async throws(StorageError) -> PostgresConnection {
        try await self.wait(for: \.permits)
        while let idle = self.state.withLock({ $0.idle.popLast() }) {
            if await idle.isUsable() { return idle }
        }
        do {
            return try await PostgresConnection.connect(
                to: self.configuration.url, on: self.thread, within: self.configuration.waitLimit
            ) { [logger] reason in
                logger.error("Cannot connect to PostgreSQL", metadata: ["reason": "\(reason)"])
            }
        } catch {
            self.giveBack(\.permits)
            throw error
        }
    }

    private func release(_ connection: PostgresConnection) async {
        if await connection.isUsable() {
            let isKept = self.state.withLock { state in
                if state.permits.isClosed { return false }
                state.idle.append(connection)
                return true
            }
            if !isKept { connection.close() }
        } else {
            connection.close()
        }
        self.giveBack(\.permits)
    }

    // MARK: - Permits

    private func wait(for queue: any WritableKeyPath<State, PermitQueue<Waiter>> & Sendable) async throws(StorageError)
    {
        let isGranted = await withCheckedContinuation { (waiter: Waiter) in
            switch self.state.withLock({ $0[keyPath: queue].ask(waiter) }) {
            case .granted: waiter.resume(returning: true)
            case .refused: waiter.resume(returning: false)
            case .waits(let ticket):
                let limit = self.configuration.waitLimit
                self.thread.submit { [self] in
                    _ = self.thread.startTimer(at: .now + limit) {
                        let waiter = self.state.withLock { $0[keyPath: queue].giveUp(ticket) }
                        waiter?.resume(returning: false)
                    }
                }
            }
        }
        guard isGranted else { throw .unavailable }
    }

    private func giveBack(_ queue: any WritableKeyPath<State, PermitQueue<Waiter>> & Sendable) {
        let (next, closing, isLast) = self.state.withLock { state in
            let next = state[keyPath: queue].giveBack()
            let isIdle = state.permits.isClosed && state.isIdleButForPulls
            // Before `close()` has come to its end it stops the thread itself.
            let isLast = isIdle && state.closing == nil && state.hasClosed && state.takesStop()
            return (next, isIdle ? state.closing.take() : nil, isLast)
        }
        next?.resume(returning: true)
        closing?.resume()
        if isLast { self.thread.stop() }
    }
}
