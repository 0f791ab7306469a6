/// How a PostgreSQL database is reached.
package struct PostgresConfiguration: Sendable {
    /// `postgres://…` as libpq takes it, with `sslmode`, `options` and the rest. May hold a password.
    package var url: String
    /// `DATABASE_POOL_SIZE`: connections, 3 or more. Pulls hold at most two fewer, pushes at most half.
    package var poolSize: Int
    /// Whether opening brings an older or empty database up to date (`MIGRATE_ON_START`). If not, opening one fails.
    package var migrates: Bool
    /// How long a call waits for a connection, for a connection to be made, and for an answer, before `.unavailable`.
    package var waitLimit: Duration = .seconds(30)

    package init(url: String, poolSize: Int = 10, migrates: Bool = true) {
        self.url = url
        self.poolSize = poolSize
        self.migrates = migrates
    }

    /// Whether libpq takes `url` for what it was meant to be.
    package static func isUnderstood(url: String) -> Bool { PostgresURL.options(of: url) != nil }
}

/// Bounds of the PostgreSQL backend.
enum PostgresLimits {
    /// Pushes of one transaction (architecture W2).
    static let batchPushesMax = 256
    /// Bytes of blobs and DEKs of one transaction; a larger push has one to itself (architecture W2).
    static let batchBytesMax = 8_388_608
    /// Pushes that wait in queues by space or are being written; further ones wait for room.
    static let queuedPushesMax = 4_096
    /// The same in bytes, counted as for a batch.
    static let queuedBytesMax = 67_108_864
    /// What a change counts beside its blob and DEK, so that many small ones are no small batch.
    static let changeOverheadBytes = 64
    /// How often a batch is run that PostgreSQL ends for the sake of another transaction (codes 40001, 40P01), or because of
    /// a lock that another program holds too long (55P03).
    static let batchAttemptsMax = 3
    /// Bytes of rows of a pull that wait for its consumer; then the socket is not read.
    static let streamedBytesMax = 524_288
    /// Rows of a pull that go to its consumer together, when as many have come: enough of them, or bytes.
    static let streamedChunkRows = 64
    static let streamedChunkBytes = 65_536
    /// What libpq reads from a socket at a time, and so most of the rows that come together.
    static let socketReadBytes = 16_384
    /// Spaces whose announcements are kept while they cannot go out; beyond them the others are told that anything may have
    /// changed.
    static let announcedSpacesMax = 10_000
    /// Between two announcements: what comes meanwhile goes together.
    static let feedPause: Duration = .milliseconds(5)
    /// How often the connection that listens is used at least.
    static let feedHeartbeat: Duration = .seconds(5)
    /// Time to say the last things when the process ends.
    static let feedGoodbyeLimit: Duration = .seconds(2)
    /// Time for an answer until the listening connection counts as lost. Until then nobody hears of revocations by others.
    static let feedAnswerMax: Duration = .seconds(10)
    /// Between two attempts to listen, the first and the longest.
    static let feedDelayMin: Duration = .milliseconds(50)
    static let feedDelayMax: Duration = .seconds(2)
    /// Time between two lines of log about one outage.
    static let outageLogInterval: Duration = .seconds(10)
    /// Between two attempts to get a file's lock that another process holds, the first and the longest.
    static let fileLockDelayMin: Duration = .milliseconds(10)
    static let fileLockDelayMax: Duration = .milliseconds(500)
    /// The part of the wait limit, a sixth, that PostgreSQL always has to answer the question for a lock.
    static let fileLockAnswerShare = 6
    /// Time that a migration step may take.
    static let migrationTimeLimit: Duration = .seconds(3_600)
}
