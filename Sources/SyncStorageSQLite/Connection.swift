import Dispatch
import GRDB
import GRDBSQLite
import SyncStorage

// A connection is a GRDB `DatabaseQueue`. Not a `DatabasePool`: that one sets `synchronous` to NORMAL behind our back, and
// its readers cannot keep a snapshot from one call to the next.

extension DatabaseQueue {
    /// The connection that writes. Blocks.
    static func writer(at path: String, _ settings: SQLiteConfiguration) throws -> DatabaseQueue {
        let synchronous = settings.synchronous
        var configuration = Configuration()
        configuration.label = "less-sync.sqlite.writer"
        configuration.busyMode = .timeout(settings.busyTimeout / .seconds(1))
        configuration.prepareDatabase { db in
            try db.execute(
                sql: """
                    PRAGMA journal_mode = WAL;
                    PRAGMA synchronous = \(synchronous == .full ? "FULL" : "NORMAL");
                    PRAGMA secure_delete = ON;
                    PRAGMA recursive_triggers = OFF;
                    PRAGMA journal_size_limit = \(SQLiteLimits.walBytesKept);
                    PRAGMA wal_autocheckpoint = 0;
                    PRAGMA cache_size = -\(SQLiteLimits.writerCacheKiB);
                    """)
            // Checked, because the first promise of a server is that what it acknowledged is there after a crash.
            guard try String.fetchOne(db, sql: "PRAGMA journal_mode") == "wal",
                try Int.fetchOne(db, sql: "PRAGMA synchronous") == (synchronous == .full ? 2 : 1),
                try Int.fetchOne(db, sql: "PRAGMA foreign_keys") == 1
            else { throw StorageError.database(detail: "SQLite did not take the settings of a connection") }
        }
        return try DatabaseQueue(path: path, configuration: configuration)
    }

    /// A connection that reads, and may keep a transaction open between calls. Blocks.
    static func reader(at path: String, number: Int, _ settings: SQLiteConfiguration) throws -> DatabaseQueue {
        var configuration = Configuration()
        configuration.label = "less-sync.sqlite.reader.\(number)"
        configuration.readonly = true
        configuration.busyMode = .timeout(settings.busyTimeout / .seconds(1))
        configuration.allowsUnsafeTransactions = true
        configuration.prepareDatabase { db in
            try db.execute(sql: "PRAGMA cache_size = -\(SQLiteLimits.readerCacheKiB)")
        }
        return try DatabaseQueue(path: path, configuration: configuration)
    }
}

/// A connection and the thread on which it is used. GRDB's own queues would do, but each wake-up of one may make a thread,
/// hundreds under load.
final class SQLiteConnection: Sendable {
    private let database: DatabaseQueue
    private let thread: WorkThread

    init(_ database: DatabaseQueue) {
        self.database = database
        self.thread = WorkThread(name: "sqlite")
    }

    deinit { self.thread.end() }

    /// Runs `body` on the connection's thread, after what was submitted before. Does nothing once the connection is closed.
    func submit(_ body: @escaping @Sendable (Database) -> Void) {
        self.thread.submit { [database] in
            database.writeWithoutTransaction { db in if db.sqliteConnection != nil { body(db) } }
        }
    }

    /// Runs `body` on the connection's thread, whatever becomes of the calling task.
    func perform<Result: Sendable>(
        while action: StaticString, _ body: @escaping @Sendable (Database) throws -> Result
    ) async throws(StorageError) -> Result {
        let result = await withCheckedContinuation { continuation in
            let isTaken = self.thread.submit { [database] in
                continuation.resume(
                    returning: Swift.Result {
                        try database.writeWithoutTransaction { db in
                            guard db.sqliteConnection != nil else { throw StorageError.unavailable }
                            return try body(db)
                        }
                    })
            }
            if !isTaken { continuation.resume(returning: .failure(StorageError.unavailable)) }
        }
        return try result.mapError { StorageError($0, while: action) }.get()
    }

    /// Closes the connection after what was submitted before, and ends its thread.
    func close() async throws(StorageError) {
        let result: Swift.Result<Void, any Error> = await withCheckedContinuation { continuation in
            let isTaken = self.thread.submit { [database] in
                continuation.resume(returning: Swift.Result { try database.close() })
            }
            if !isTaken { continuation.resume(returning: .success(())) }
        }
        self.thread.end()
        try result.mapError { StorageError($0, while: "close the database") }.get()
    }
}

/// Runs `body`, which may block, on a queue of its own. A shared concurrent queue would take the threads of blocked bodies
/// from those of the concurrency pool.
func blocking<Result: Sendable>(
    while action: StaticString, _ body: @escaping @Sendable () throws -> Result
) async throws(StorageError) -> Result {
    let result = await withCheckedContinuation { continuation in
        DispatchQueue(label: "less-sync.sqlite.blocking").async {
            continuation.resume(returning: Swift.Result(catching: body))
        }
    }
    return try result.mapError { StorageError($0, while: action) }.get()
}
