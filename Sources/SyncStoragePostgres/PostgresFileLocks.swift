import Logging
import SyncProtocol
import SyncStorage
import Synchronization

/// Locks of files between the tasks of this process, and between server processes by advisory locks of PostgreSQL
/// (docs/contract/storage.md §6.5).
///
/// One connection beside the pool holds all of them, for as long as an upload takes, so that uploads use up no connections.
/// Should it be lost, its locks are lost with it; what is in progress then goes on without.
final class PostgresFileLocks: Sendable {
    // Fixed after init.
    private let configuration: PostgresConfiguration
    private let thread: EventThread
    private let logger: Logger
    private let files = KeyedLock<FileKey>()
    /// For the connection, which takes one statement at a time.
    private let turn = KeyedLock<Int>()

    private struct State {
        var connection: PostgresConnection?
        var isClosed = false
        var backoff = ConnectBackoff()
    }

    // Guarded by itself.
    private let state = Mutex(State())

    init(_ configuration: PostgresConfiguration, thread: EventThread, logger: Logger) {
        self.configuration = configuration
        self.thread = thread
        self.logger = logger
    }

    /// Runs `body` while nobody else on this database holds the lock of the file.
    ///
    /// - Throws: `.unavailable` when there is no lock within the limit, when PostgreSQL cannot be reached, and when the task is
    ///   cancelled while it waits; what `body` throws.
    func withLock<Result: Sendable>(_ key: FileKey, _ body: () async throws -> Result) async throws -> Result {
        let limit = self.configuration.waitLimit
        let deadline = ContinuousClock.now + limit
        return try await self.files.withLock(key, within: limit) {
            let lock = AdvisoryLock(key)
            let connection = try await self.acquire(lock, until: deadline)
            do {
                let result = try await body()
                await self.release(lock, on: connection)
                return result
            } catch {
                await self.release(lock, on: connection)
                throw error
            }
        }
    }

    /// Nobody gets a lock any more.
    func close() {
        let connection = self.state.withLock { state in
            state.isClosed = true
            return state.connection.take()
        }
        connection?.close()
    }

    /// - Returns: The connection that holds the lock.
    private func acquire(
        _ lock: AdvisoryLock, until deadline: ContinuousClock.Instant
    ) async throws -> PostgresConnection {
        // A wait inside PostgreSQL would hold up everybody who needs the connection.
        var delay = PostgresLimits.fileLockDelayMin
        while true {
            if let connection = try await self.tryAcquire(lock, until: deadline) { return connection }
            guard ContinuousClock.now + delay < deadline, (try? await Task.sleep(for: delay)) != nil else {
                throw StorageError.unavailable
            }
            delay = min(delay * 2, PostgresLimits.fileLockDelayMax)
        }
    }

    private func tryAcquire(
        _ lock: AdvisoryLock, until deadline: ContinuousClock.Instant
    ) async throws -> PostgresConnection? {
        try await self.turn.withLock(0, within: max(.zero, deadline - .now)) {
            let connection = try await self.connect(until: deadline)
            // A statement that is given up costs everybody the connection, and with it the locks. So it has a while, also for
            // who has none left.
            let limit = max(deadline - .now, self.configuration.waitLimit / PostgresLimits.fileLockAnswerShare)
            do {
                let rows = try await connection.execute([lock.tryStatement], within: limit)
                return rows.first?.bool(0, 0) == true ? connection : nil
            } catch let failure as PostgresFailure {
                throw failure.storageError
            }
        }
    }

    private func release(_ lock: AdvisoryLock, on connection: PostgresConnection) async {
        try? await self.turn.withLock(0, within: nil) {
            do {
                _ = try await connection.execute([lock.unlockStatement], within: self.configuration.waitLimit)
            } catch {
                // The end of its session frees the lock as well.
                connection.close()
            }
        }
    }

    /// Meanwhile nobody else has the turn.
    private func connect(until deadline: ContinuousClock.Instant) async throws(StorageError) -> PostgresConnection {
        let (current, attempt) = self.state.withLock { state -> (PostgresConnection?, ConnectBackoff.Attempt?) in
            guard !state.isClosed else { return (nil, nil) }
            if let current = state.connection, current.isUsable { return (current, nil) }
            state.connection.take()?.close()
            return (nil, state.backoff.attempt(at: .now))
        }
        if let current { return current }
        guard let attempt else { throw .unavailable }
        let connection: PostgresConnection
        do {
            connection = try await PostgresConnection.connect(
                to: self.configuration.url, on: self.thread, within: max(.zero, deadline - .now),
                settings: .sessionSettings(waitLimit: self.configuration.waitLimit),
                log: { [logger] in
                    logger.error("Cannot connect to PostgreSQL for file locks", metadata: ["reason": "\($0)"])
                }, notice: { [logger] in logger.note($0) }, isCancellable: true)
        } catch {
            // Who gives up says nothing of the database.
            if !Task.isCancelled { self.state.withLock { $0.backoff.failed(attempt, at: .now) } }
            throw error
        }
        let isKept = self.state.withLock { state in
            state.backoff.succeeded()
            if !state.isClosed { state.connection = connection }
            return !state.isClosed
        }
        guard isKept else {
            connection.close()
            throw .unavailable
        }
        return connection
    }
}

/// Two files may share a lock, which makes one wait for the other and does no other harm.
private struct AdvisoryLock {
    private let number: Int64

    init(_ key: FileKey) {
        let bits = key.space.bits &* 0x9E37_79B9_7F4A_7C15 ^ key.file.bits
        self.number = Int64(truncatingIfNeeded: bits ^ (bits >> 64))
    }

    var tryStatement: PostgresStatement { self.statement("pg_try_advisory_lock") }

    var unlockStatement: PostgresStatement { self.statement("pg_advisory_unlock") }

    private func statement(_ function: String) -> PostgresStatement {
        PostgresStatement(
            name: function, sql: "SELECT \(function)($1::int8)", parameters: [PostgresValue.int8(self.number)])
    }
}
