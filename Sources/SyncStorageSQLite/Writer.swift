import FoundationEssentials
import GRDB
import GRDBSQLite
import Logging
import SyncProtocol
import SyncStorage
import Synchronization

/// The one connection that writes, and what waits for it. Its dispatch queue owns all work: started when something comes
/// to an idle writer, it takes batch after batch, each in one transaction, until nothing waits (architecture W2).
final class Writer: Sendable {
    /// One write, and where its outcome goes.
    struct Write: Sendable {
        fileprivate let isPush: Bool
        /// Runs in the transaction; what it returns tells the outcome, once that is committed.
        fileprivate let run: @Sendable (inout WriteTransaction) throws(StorageError) -> @Sendable () -> Void
        let fail: @Sendable (StorageError) -> Void

        /// - Parameters:
        ///   - isPush: Whether it counts among the pushes of the statistics.
        ///   - body: A refusal is returned and leaves no trace; what is thrown undoes the transaction.
        init<Value: Sendable>(
            isPush: Bool = false,
            settle: @escaping @Sendable (Result<Value, StorageError>) -> Void,
            _ body: @escaping @Sendable (inout WriteTransaction) throws(StorageError) -> Result<Value, StorageError>
        ) {
            self.isPush = isPush
            self.run = { transaction throws(StorageError) in
                let outcome = try body(&transaction)
                return { settle(outcome) }
            }
            self.fail = { settle(.failure($0)) }
        }
    }

    private struct State {
        var queue = WriteQueue<Write>()
        var closing: [CheckedContinuation<Void, Never>] = []
        var commits = 0
        var batches = BatchSizes()
        var pushes = 0
        var checkpoints = CheckpointPlan()
    }

    let connection: SQLiteConnection
    private let waitLimit: Duration
    private let now: @Sendable () -> Date
    private let logger: Logger
    private let state = Mutex(State())

    init(_ connection: SQLiteConnection, waitLimit: Duration, now: @escaping @Sendable () -> Date, logger: Logger) {
        self.connection = connection
        self.waitLimit = waitLimit
        self.now = now
        self.logger = logger
    }

    /// Commits, pushes decided by them, and pushes that wait.
    func addStatistics(to statistics: inout StorageStatistics) {
        self.state.withLock { state in
            statistics.commits = state.commits
            statistics.batches = state.batches
            statistics.pushes = state.pushes
            statistics.pushesQueued = state.queue.count
        }
    }

    /// Queues a write. It is settled on the writer's thread, in arrival order.
    func submit(_ write: Write, bytes: Int) {
        let deadline = ContinuousClock.now + self.waitLimit
        switch self.state.withLock({ $0.queue.add(write, bytes: bytes, deadline: deadline) }) {
        case .start: self.connection.submit { db in self.drain(db) }
        case .queued: break
        case .refused: write.fail(.unavailable)
        }
    }

    /// A pull has ended, and with it perhaps the reason why the WAL could not start again from its beginning.
    func pullEnded() {
        guard self.state.withLock({ $0.checkpoints.isBlocked && !$0.queue.isClosed }) else { return }
        self.connection.submit { db in self.checkpoint(db, SQLITE_CHECKPOINT_PASSIVE) }
    }

    /// Copies the WAL into the database file as far as pulls allow.
    ///
    /// - Parameter truncating: Whether the WAL is emptied; that waits for pulls, and every write with it.
    func checkpoint(truncating: Bool) async throws(StorageError) {
        try await self.connection.perform(while: "copy the WAL into the database") { db in
            self.checkpoint(db, truncating ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE)
        }
    }

    /// Finishes what is queued, refuses the rest, and closes the connection.
    func close() async {
        await withCheckedContinuation { continuation in
            let isIdle = self.state.withLock { state in
                let isIdle = state.queue.close()
                if !isIdle { state.closing.append(continuation) }
                return isIdle
            }
            if isIdle { continuation.resume() }
        }
        do {
            try await self.connection.perform(while: "close the database") { db in
                self.checkpoint(db, SQLITE_CHECKPOINT_TRUNCATE)
            }
            try await self.connection.close()
        } catch {
            self.logger.error("SQLite writer did not close cleanly", metadata: ["error": "\(error)"])
        }
    }

    // MARK: On the connection's thread

    private func drain(_ db: Database) {
        while let batch = self.nextBatch() {
            for write in batch.expired { write.fail(.unavailable) }
            if !batch.writes.isEmpty {
                self.commit(batch.writes, on: db)
                self.checkpointIfDue(db)
            }
        }
    }

    private func nextBatch() -> WriteQueue<Write>.Batch? {
        var closing: [CheckedContinuation<Void, Never>] = []
        let batch = self.state.withLock { state in
            let batch = state.queue.nextBatch(at: .now)
            if batch == nil { swap(&closing, &state.closing) }
            return batch
        }
        for continuation in closing { continuation.resume() }
        return batch
    }

    private func commit(_ writes: [Write], on db: Database) {
        let settlements: [@Sendable () -> Void]
        do {
            settlements = try self.run(writes, on: db)
        } catch let failure {
            // A statement failed, and everything was rolled back. The writes that have nothing to do with it must not
            // suffer: each gets a transaction of its own. If no transaction can be begun or committed, all fail alike.
            guard failure.isOfOneWrite, writes.count > 1 else {
                self.logger.error("SQLite transaction failed", metadata: ["error": "\(failure.error)"])
                for write in writes { write.fail(failure.error) }
                return
            }
            for write in writes { self.commit([write], on: db) }
            return
        }
        self.state.withLock { state in
            let pushes = writes.count { $0.isPush }
            state.commits += 1
            state.pushes += pushes
            state.batches.record(pushes: pushes)
        }
        for settle in settlements { settle() }
    }

    private struct TransactionFailure: Error {
        var error: StorageError
        /// Whether a single write failed, rather than the beginning or the end of the transaction.
        var isOfOneWrite: Bool
    }

    /// Runs the writes in one transaction.
    private func run(_ writes: [Write], on db: Database) throws(TransactionFailure) -> [@Sendable () -> Void] {
        do {
            try db.run("BEGIN IMMEDIATE", action: "begin a transaction")
        } catch {
            throw TransactionFailure(error: error, isOfOneWrite: false)
        }
        var isOfOneWrite = true
        do {
            var transaction = try WriteTransaction(db, now: self.now())
            var settlements: [@Sendable () -> Void] = []
            settlements.reserveCapacity(writes.count)
            for write in writes { settlements.append(try write.run(&transaction)) }
            isOfOneWrite = false
            try transaction.storeSpaces()
            try db.run("COMMIT", action: "commit a transaction")
            return settlements
        } catch {
            // Some failures have rolled back by themselves.
            if db.isInsideTransaction { try? db.run("ROLLBACK", action: "roll back") }
            throw TransactionFailure(error: error, isOfOneWrite: isOfOneWrite)
        }
    }

    // MARK: Checkpoints

    /// Runs between two batches, after the first has been acknowledged; SQLite's own would run inside a commit.
    private func checkpointIfDue(_ db: Database) {
        guard let connection = db.sqliteConnection else { return }
        var pages: Int32 = 0
        var highest: Int32 = 0
        sqlite3_db_status(connection, SQLITE_DBSTATUS_CACHE_WRITE, &pages, &highest, 1)
        let isDue = self.state.withLock { $0.checkpoints.wrote(pages: Int(pages)) }
        if isDue { self.checkpoint(db, SQLITE_CHECKPOINT_PASSIVE) }
    }

    private func checkpoint(_ db: Database, _ mode: Int32) {
        guard let connection = db.sqliteConnection else { return }
        var framesInLog: Int32 = -1
        var framesCopied: Int32 = -1
        let code = sqlite3_wal_checkpoint_v2(connection, nil, mode, &framesInLog, &framesCopied)
        let isBlocked = code != SQLITE_OK || framesCopied < framesInLog
        self.state.withLock { $0.checkpoints.ran(isBlocked: isBlocked) }
        if code != SQLITE_OK, code != SQLITE_BUSY, code != SQLITE_LOCKED {
            let error = StorageError(sqliteCode: code, while: "copy the WAL into the database")
            self.logger.error("SQLite checkpoint failed", metadata: ["error": "\(error)"])
        }
    }
}

/// When to copy the WAL into the database file.
struct CheckpointPlan {
    private var pages = 0
    /// A pull's snapshot kept the latest checkpoint from its end.
    private(set) var isBlocked = false

    /// - Returns: Whether a checkpoint is due.
    mutating func wrote(pages: Int) -> Bool {
        self.pages += pages
        return self.pages >= SQLiteLimits.checkpointPages
    }

    mutating func ran(isBlocked: Bool) {
        self.pages = 0
        self.isBlocked = isBlocked
    }
}
