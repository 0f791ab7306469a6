import SyncProtocol
import SyncStorage
import Synchronization

extension PostgresStorage {
    /// Runs `body` when the turn of the space has come, behind the pushes before it and ahead of those behind it: no other
    /// write of this process in the space is in progress meanwhile.
    ///
    /// - Parameters:
    ///   - bytes: What `body` holds in memory, about.
    ///   - committed: As that of `push`.
    func write<Value: Sendable>(
        in space: SpaceID, bytes: Int,
        committed: @escaping @Sendable (Result<Value, StorageError>) -> Void,
        _ body: @escaping @Sendable () async throws(StorageError) -> Value
    ) async {
        let settle: @Sendable (Result<PushOutcome, StorageError>) -> Void = { outcome in
            if case .failure(let error) = outcome { committed(.failure(error)) }
        }
        await self.enqueue(settle: settle) { waiter, deadline in
            PushScheduler.Entry(in: space, bytes: bytes, deadline: deadline, waiter: waiter) {
                let outcome: Result<Value, StorageError>
                do throws(StorageError) {
                    outcome = .success(try await body())
                } catch {
                    outcome = .failure(error)
                }
                self.pushes.withLock { $0.commits += 1 }
                committed(outcome)
            }
        }
    }

    /// As above, for a caller that does not need the ordering of `committed`.
    func write<Value: Sendable>(
        in space: SpaceID, bytes: Int, _ body: @escaping @Sendable () async throws(StorageError) -> Value
    ) async throws(StorageError) -> Value {
        let outcome = Mutex<Result<Value, StorageError>>(.failure(.unavailable))
        await self.write(in: space, bytes: bytes, committed: { result in outcome.withLock { $0 = result } }, body)
        return try outcome.withLock { $0 }.get()
    }

    /// Runs statements in one transaction and one round trip, and again when PostgreSQL gives it up for the sake of another.
    /// Goes on when the task is cancelled: others may wait for it.
    ///
    /// - Returns: The rows of each statement.
    func transaction(_ statements: [PostgresStatement]) async throws(StorageError) -> [PostgresRows] {
        let deadline = ContinuousClock.now + self.configuration.waitLimit
        var attempt = 1
        while true {
            do throws(PostgresFailure) {
                return try await self.pool.withConnection(
                    isCancellable: false,
                    { connection throws(PostgresFailure) in
                        try await connection.execute(statements, within: self.configuration.waitLimit)
                    }, unavailable: { _ in .unavailable })
            } catch {
                guard error.isRetryable, attempt < PostgresLimits.batchAttemptsMax, ContinuousClock.now < deadline
                else {
                    throw error.storageError
                }
                attempt += 1
            }
        }
    }
}
