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
        var closing: CheckedContinuation<Void, Never>?
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
        return try await self.withConnection(body, unavailable: { $0 })
    }

    /// Refuses new callers, waits for those that have a connection, and closes all.
    func close() async {
        let waiters = self.state.withLock { $0.permits.close() + $0.pullPermits.close() }
        for waiter in waiters { waiter.resume(returning: false) }
        await withCheckedContinuation { continuation in
            let isIdle = self.state.withLock { state in
                if state.permits.inUse == 0 { return true }
                state.closing = continuation
                return false
            }
            if isIdle { continuation.resume() }
        }
        for connection in self.state.withLock({ state in
            defer { state.idle = [] }
            return state.idle
        }) {
            connection.close()
        }
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
        let (next, closing) = self.state.withLock { state in
            let next = state[keyPath: queue].giveBack()
            let isDone = state.permits.isClosed && state.permits.inUse == 0
            return (next, isDone ? state.closing.take() : nil)
        }
        next?.resume(returning: true)
        closing?.resume()
    }
}
