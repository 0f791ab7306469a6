package import FoundationEssentials

/// How a SQLite database is opened.
package struct SQLiteConfiguration: Sendable {
    /// When a commit counts as done (`SQLITE_SYNCHRONOUS`, architecture C16).
    package enum Synchronous: String, Sendable {
        /// When the disk says that it holds it: an acknowledged write survives a loss of power.
        case full
        /// When the operating system has it: an acknowledged write survives the end of the process only.
        case normal
    }

    /// The database file. Its directory is created. `nil` (`sqlite::memory:`): a file in a temporary directory, which goes
    /// when the storage is closed.
    package var path: String?
    package var synchronous: Synchronous
    /// `DATABASE_POOL_SIZE`: connections that read, 1 or more. Pulls hold at most two fewer, though always one
    /// (docs/contract/storage.md Δ-S14). One more connection writes.
    package var readers: Int
    /// Whether opening brings an older or empty database up to date (`MIGRATE_ON_START`). If not, opening one fails.
    package var migrates: Bool
    /// What becomes of the lock that keeps a database to one process.
    package enum Lock: Sendable {
        /// Taken, or opening fails. A missing database is made.
        case taken
        /// Taken if no server has it: for a tool that does more when it is alone. The database must exist.
        case takenIfFree
        /// Left alone: for a tool that writes a row beside a running server. The database must exist.
        case ignored
    }

    package var lock = Lock.taken
    /// How long a write waits for its turn, and a read or a pull for a connection, before `.unavailable`.
    package var waitLimit: Duration = .seconds(30)
    /// How long SQLite itself waits for a lock that another process holds, before `.unavailable`; 5 s or more in earnest
    /// (docs/contract/storage.md §11).
    package var busyTimeout: Duration = .seconds(5)
    /// Measures `waitLimit` for reads and pulls.
    package var clock: any Clock<Duration> = ContinuousClock()
    /// Time of the rows that carry one; read once per transaction.
    package var now: @Sendable () -> Date = { Date() }

    package init(path: String?, synchronous: Synchronous = .full, readers: Int = 10, migrates: Bool = true) {
        self.path = path
        self.synchronous = synchronous
        self.readers = readers
        self.migrates = migrates
    }
}

/// Bounds of the SQLite backend.
enum SQLiteLimits {
    /// Writes of one transaction (architecture W2).
    static let batchWritesMax = 256
    /// Bytes of blobs and DEKs of one transaction; a larger push has one to itself (architecture W2).
    static let batchBytesMax = 8_388_608
    /// Writes in the queue; the callers of further ones wait for room.
    static let queuedWritesMax = 4_096
    /// Bytes of blobs and DEKs in the queue. One write may exceed it by itself.
    static let queuedBytesMax = 67_108_864
    /// Pages written to the WAL until they are copied into the database file.
    static let checkpointPages = 4_000
    /// Bytes that the WAL file keeps when it starts again from its beginning.
    static let walBytesKept = 67_108_864
    /// KiB of page cache of the connection that writes, and of each that reads.
    static let writerCacheKiB = 16_384
    static let readerCacheKiB = 2_048
}
