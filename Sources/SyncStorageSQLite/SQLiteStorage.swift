import FoundationEssentials
import GRDB
import GRDBSQLite
package import Logging
package import NIOCore
package import SyncProtocol
package import SyncStorage
import Synchronization

/// The storage contract on one SQLite file: one connection that writes for all, several that read
/// (docs/contract/storage.md §11).
package final class SQLiteStorage: Storage {
    private let file: DatabaseFile
    let writer: Writer
    let readers: ReaderPool
    private let logger: Logger
    private let date: @Sendable () -> Date
    let fileLocks = KeyedLock<FileKey>()
    let waitLimit: Duration

    /// Opens a database, creating it where there is none, and holds its lock until `close`.
    ///
    /// - Throws: `.database` when another process holds the lock or SQLite cannot use the file; `.migration` when its
    ///   schema is newer, not ours, or, with `migrates` off, not up to date.
    package static func open(
        _ configuration: SQLiteConfiguration, logger: Logger
    ) async throws(StorageError) -> SQLiteStorage {
        try await blocking(while: "open the database") {
            guard sqlite3_libversion_number() >= 3_035_000 else {
                throw StorageError.database(detail: "SQLite 3.35 or later is needed")
            }
            return try DatabaseFile(path: configuration.path, lock: configuration.lock).use { file in
                let writer = try DatabaseQueue.writer(at: file.path, configuration)
                try writer.inDatabase { db in
                    let version = try SQLiteMigrator.appliedVersion(db)
                    guard version < Schema.version else { return }
                    guard configuration.migrates else {
                        throw StorageError.migration(
                            detail:
                                "the database is at version \(version), not \(Schema.version); run less-sync migrate")
                    }
                    try SQLiteMigrator.migrate(db, now: configuration.now())
                    for step in Schema.names where step.version > version {
                        logger.info(
                            "migration applied", metadata: ["version": "\(step.version)", "name": "\(step.name)"])
                    }
                }
                let readers = try (0..<max(1, configuration.readers)).map { number in
                    SQLiteConnection(try DatabaseQueue.reader(at: file.path, number: number, configuration))
                }
                return SQLiteStorage(
                    file: file, writer: SQLiteConnection(writer), readers: readers, configuration, logger: logger)
            }
        }
    }

    private init(
        file: DatabaseFile, writer: SQLiteConnection, readers: [SQLiteConnection], _ configuration: SQLiteConfiguration,
        logger: Logger
    ) {
        self.file = file
        self.writer = Writer(writer, waitLimit: configuration.waitLimit, now: configuration.now, logger: logger)
        self.readers = ReaderPool(readers, waitLimit: configuration.waitLimit, clock: configuration.clock)
        self.logger = logger
        self.date = configuration.now
        self.waitLimit = configuration.waitLimit
    }

    /// Microseconds since the Unix epoch by the application clock, for reads of what expires.
    func now() -> Int64 { self.date().microseconds }

    /// Whether no other process has the database.
    var isExclusive: Bool { self.file.isExclusive }

    /// The database file.
    package var path: String { self.file.path }

    package var statistics: StorageStatistics {
        var statistics = StorageStatistics()
        self.writer.addStatistics(to: &statistics)
        self.readers.addStatistics(to: &statistics)
        return statistics
    }

    package func ping() async throws(StorageError) {
        try await self.readers.query(while: "ping") { db in
            try db.run("SELECT 1", action: "ping")
        }
    }

    /// Empties the WAL into the database file, unless pulls are open: then it copies what it can.
    package func checkpoint() async throws(StorageError) {
        try await self.writer.checkpoint(truncating: self.statistics.pullsOpen == 0)
    }

    package func close() async {
        await self.readers.close(logger: self.logger)
        await self.writer.close()
        self.file.release()
    }
}

// MARK: - Spaces

extension SQLiteStorage {
    package func space(_ id: SpaceID) async throws(StorageError) -> Space {
        let space = try await self.readers.query(while: "read a space") { db in try SpaceQuery(db).first(id) }
        guard let space else { throw .spaceNotFound }
        return space
    }

    package func spaces(_ ids: [SpaceID]) async throws(StorageError) -> [SpaceID: Space] {
        guard !ids.isEmpty else { return [:] }
        return try await self.readers.query(while: "read spaces") { db in
            let query = try SpaceQuery(db)
            var found: [SpaceID: Space] = [:]
            for id in ids where found[id] == nil { found[id] = try query.first(id) }
            return found
        }
    }

    package func createSpace(
        _ id: SpaceID, clientID: String, rootPublicKey: ByteBuffer?
    ) async throws(StorageError) -> Space {
        try await self.create(NewSpace(id: id, clientID: clientID, rootPublicKey: rootPublicKey, mayExist: false))
    }

    package func getOrCreateSpace(_ id: SpaceID, clientID: String) async throws(StorageError) -> Space {
        do {
            return try await self.space(id)
        } catch .spaceNotFound {
            return try await self.create(NewSpace(id: id, clientID: clientID, rootPublicKey: nil, mayExist: true))
        }
    }

    private func create(_ space: NewSpace) async throws(StorageError) -> Space {
        try await self.write { transaction throws(StorageError) in try transaction.create(space) }
    }
}

// MARK: - Writes

extension SQLiteStorage {
    /// Runs `body` in the writer's next transaction and returns its outcome when that is committed. A refusal is returned
    /// and leaves no trace; what is thrown undoes the transaction.
    ///
    /// - Parameter bytes: What the write holds in memory, about.
    func write<Value: Sendable>(
        bytes: Int = 0,
        _ body: @escaping @Sendable (inout WriteTransaction) throws(StorageError) -> Result<Value, StorageError>
    ) async throws(StorageError) -> Value {
        let result = await withCheckedContinuation { continuation in
            let write = Writer.Write(settle: { continuation.resume(returning: $0) }, body)
            self.writer.submit(write, bytes: bytes)
        }
        return try result.get()
    }

    /// As `write`, for what is reported in cursor order: `committed` is called on the writer's thread.
    func write<Value: Sendable>(
        isPush: Bool = false, bytes: Int,
        committed: @escaping @Sendable (Result<Value, StorageError>) -> Void,
        _ body: @escaping @Sendable (inout WriteTransaction) throws(StorageError) -> Result<Value, StorageError>
    ) async {
        await withCheckedContinuation { continuation in
            let settle: @Sendable (Result<Value, StorageError>) -> Void = { outcome in
                committed(outcome)
                continuation.resume()
            }
            self.writer.submit(Writer.Write(isPush: isPush, settle: settle, body), bytes: bytes)
        }
    }
}

// MARK: - Records

extension SQLiteStorage {
    package func push(
        _ push: Push, committed: @escaping @Sendable (Result<PushOutcome, StorageError>) -> Void
    ) async {
        await self.write(isPush: true, bytes: push.changes.payloadBytes, committed: committed) {
            transaction throws(StorageError) in try transaction.push(push)
        }
    }

    package func withPull<Result: Sendable>(
        of space: SpaceID, since: Int64, _ body: (any PullSnapshot) async throws -> Result
    ) async throws -> Result {
        try await self.withPullLease { connection in
            let pull = try await SQLitePull.begin(on: connection, space: space, since: since)
            return try await self.ending(pull.pages) { try await body(pull) }
        }
    }

    func withPullLease<Result: Sendable>(
        _ body: (SQLiteConnection) async throws -> Result
    ) async throws -> Result {
        let lease = try await self.readers.lease(for: .pull)
        defer {
            self.readers.release(lease)
            self.writer.pullEnded()
        }
        return try await body(lease.connection)
    }

    /// Ends the transaction of `pages` when `body` has returned or thrown.
    func ending<Position, Result: Sendable>(
        _ pages: SQLitePages<Position>, _ body: () async throws -> Result
    ) async throws -> Result {
        let result: Swift.Result<Result, any Error>
        do {
            result = .success(try await body())
        } catch {
            result = .failure(error)
        }
        do {
            try await pages.end()
        } catch {
            self.logger.error("SQLite pull did not end cleanly", metadata: ["error": "\(error)"])
        }
        return try result.get()
    }

    package func recordExists(_ record: RecordID, in space: SpaceID) async throws(StorageError) -> Bool {
        try await self.readers.query(while: "look for a record") { db in
            let row = try SQLiteStatement(
                db, "SELECT 1 FROM records WHERE space_id = ?1 AND id = ?2", action: "look for a record")
            defer { row.reset() }
            try row.bind(space, at: 1)
            try row.bind(record, at: 2)
            return try row.step()
        }
    }
}
