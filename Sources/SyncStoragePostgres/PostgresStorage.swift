package import Logging
package import NIOCore
package import SyncProtocol
package import SyncStorage
import Synchronization

/// The storage contract on PostgreSQL 13 or later, over non-blocking libpq (docs/contract/storage.md §12).
package final class PostgresStorage: Storage {
    // Fixed after init.
    let pool: PostgresPool
    let configuration: PostgresConfiguration
    let logger: Logger

    let feed: PostgresChangeFeed
    let fileLocks: PostgresFileLocks

    // Guarded by itself.
    let pushes: Mutex<PushState>

    /// Connects and brings the schema up to date.
    ///
    /// - Parameter onUnreachable: Takes the reason why there is no connection, without user and password.
    /// - Throws: `.unavailable` when there is no connection within the limit; `.migration` when the schema is newer, its
    ///   history has a failed version, a step fails or, with `migrates` off, it is not up to date.
    package static func open(
        _ configuration: PostgresConfiguration, logger: Logger,
        onUnreachable: @escaping @Sendable (String) -> Void = { _ in }
    ) async throws(StorageError) -> PostgresStorage {
        guard let thread = EventThread() else { throw .database(detail: "no file descriptors left") }
        do {
            try await Self.prepareSchema(configuration, on: thread, logger: logger, onUnreachable)
        } catch {
            thread.stop()
            throw error
        }
        return PostgresStorage(configuration, thread: thread, logger: logger)
    }

    private init(_ configuration: PostgresConfiguration, thread: EventThread, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
        let pool = PostgresPool(configuration, thread: thread, logger: logger)
        self.pool = pool
        self.feed = PostgresChangeFeed(pool: pool, thread: thread, logger: logger)
        self.fileLocks = PostgresFileLocks(configuration, thread: thread, logger: logger)
        self.pushes = Mutex(PushState(writers: Self.writers(of: configuration.poolSize)))
    }

    /// Half of the pool, and two at least: one space whose lock another program holds must not stop the others.
    private static func writers(of poolSize: Int) -> Int { max(min(2, poolSize), poolSize / 2) }

    /// Lends the migrator a connection of a storage that is not opened yet.
    ///
    /// - Parameter onUnreachable: As that of `open`.
    package static func withMigrator<Result: Sendable>(
        _ configuration: PostgresConfiguration, logger: Logger,
        onUnreachable: @escaping @Sendable (String) -> Void = { _ in },
        _ body: (PostgresMigrator) async throws(StorageError) -> Result
    ) async throws(StorageError) -> Result {
        guard let thread = EventThread() else { throw .database(detail: "no file descriptors left") }
        defer { thread.stop() }
        return try await Self.withMigrator(configuration, on: thread, logger: logger, onUnreachable, body)
    }

    /// On a connection of its own: a migration has other limits than what is served afterwards.
    private static func withMigrator<Result: Sendable>(
        _ configuration: PostgresConfiguration, on thread: EventThread, logger: Logger,
        _ onUnreachable: @escaping @Sendable (String) -> Void,
        _ body: (PostgresMigrator) async throws(StorageError) -> Result
    ) async throws(StorageError) -> Result {
        let connection = try await PostgresConnection.connect(
            to: configuration.url, on: thread, within: configuration.waitLimit,
            log: { reason in
                logger.error("Cannot connect to PostgreSQL", metadata: ["reason": "\(reason)"])
                onUnreachable(reason)
            },
            notice: { logger.note($0) })
        defer { connection.close() }
        return try await body(PostgresMigrator(session: PostgresSession(connection: connection), logger: logger))
    }

    private static func prepareSchema(
        _ configuration: PostgresConfiguration, on thread: EventThread, logger: Logger,
        _ onUnreachable: @escaping @Sendable (String) -> Void
    ) async throws(StorageError) {
        try await Self.withMigrator(configuration, on: thread, logger: logger, onUnreachable) {
            migrator throws(StorageError) in
            if configuration.migrates {
                try await migrator.migrate { session throws(StorageError) in try await session.run(PushFunction.create)
                }
            } else {
                try await migrator.withCurrentSchema { session throws(StorageError) in
                    try await session.run(PushFunction.create)
                }
            }
        }
    }

    package var changeFeed: (any ChangeFeed)? { self.feed }

    package func ping() async throws(StorageError) {
        _ = try await self.run(PostgresStatement(name: "ping", sql: "SELECT 1"))
    }

    package func close() async {
        await self.finishPushes()
        self.fileLocks.close()
        await self.pool.close()
    }

    package func abandon() { self.pool.abandon() }

    /// Runs one statement on any connection.
    func run(_ statement: PostgresStatement) async throws(StorageError) -> PostgresRows {
        do {
            return try await self.execute(statement, isCancellable: true)
        } catch {
            throw error.storageError
        }
    }

    func execute(
        _ statement: PostgresStatement, isCancellable: Bool
    ) async throws(PostgresFailure) -> PostgresRows {
        let rows = try await self.pool.withConnection(
            isCancellable: isCancellable,
            { connection throws(PostgresFailure) in
                try await connection.execute([statement], within: self.configuration.waitLimit)
            }, unavailable: { _ in .unavailable })
        return rows.first ?? PostgresRows()
    }
}

/// A connection as the migrator uses it.
struct PostgresSession: MigrationSession {
    let connection: PostgresConnection

    @discardableResult
    func run(_ sql: String) async throws(StorageError) -> [[String?]] {
        let statement = PostgresStatement(sql: sql, resultsAreText: true)
        do {
            let rows = try await self.connection.execute([statement], within: PostgresLimits.migrationTimeLimit)
            guard let rows = rows.first else { return [] }
            return (0..<rows.count).map { row in (0..<rows.columns).map { rows.text(row, $0) } }
        } catch {
            throw error.storageError
        }
    }
}

// MARK: - Spaces

extension PostgresStorage {
    static let spaceColumns = """
        id, client_id, root_public_key, key_generation, min_key_generation, metadata_version, cursor, rewrap_epoch, \
        home_server
        """
    static let spaceColumnCount = 9

    package func space(_ id: SpaceID) async throws(StorageError) -> Space {
        let statement = PostgresStatement(
            name: "space", sql: "SELECT \(Self.spaceColumns) FROM spaces WHERE id = $1::uuid",
            parameters: [PostgresValue.id(id)])
        guard let space = try Self.spaces(try await self.run(statement)).first else { throw .spaceNotFound }
        return space
    }

    package func spaces(_ ids: [SpaceID]) async throws(StorageError) -> [SpaceID: Space] {
        guard !ids.isEmpty else { return [:] }
        let statement = PostgresStatement(
            name: "spaces", sql: "SELECT \(Self.spaceColumns) FROM spaces WHERE id = ANY ($1::uuid[])",
            parameters: [PostgresValue.ids(ids)])
        let spaces = try Self.spaces(try await self.run(statement))
        return Dictionary(spaces.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    }

    package func createSpace(
        _ id: SpaceID, clientID: String, rootPublicKey: ByteBuffer?
    ) async throws(StorageError) -> Space {
        let statement = PostgresStatement(
            name: "create_space",
            sql: """
                INSERT INTO spaces (id, client_id, root_public_key) VALUES ($1::uuid, $2::text, $3::bytea)
                ON CONFLICT (id) DO NOTHING RETURNING \(Self.spaceColumns)
                """,
            parameters: [PostgresValue.id(id), PostgresValue.name(clientID), rootPublicKey])
        guard let space = try Self.spaces(try await self.run(statement)).first else { throw .spaceExists }
        return space
    }

    package func getOrCreateSpace(_ id: SpaceID, clientID: String) async throws(StorageError) -> Space {
        do { return try await self.space(id) } catch .spaceNotFound {}
        do { return try await self.createSpace(id, clientID: clientID, rootPublicKey: nil) } catch .spaceExists {}
        return try await self.space(id)
    }

    package func recordExists(_ record: RecordID, in space: SpaceID) async throws(StorageError) -> Bool {
        let statement = PostgresStatement(
            name: "record_exists",
            sql: "SELECT EXISTS (SELECT FROM records WHERE space_id = $1::uuid AND id = $2::uuid)",
            parameters: [PostgresValue.id(space), PostgresValue.id(record)])
        return try await self.run(statement).bool(0, 0) ?? false
    }

    static func spaces(_ rows: PostgresRows) throws(StorageError) -> [Space] {
        var spaces: [Space] = []
        for row in 0..<rows.count {
            guard let id = rows.id(row, 0) as SpaceID?, let clientID = rows.text(row, 1),
                let keyGeneration = rows.integer(row, 3, as: Int32.self),
                let minKeyGeneration = rows.integer(row, 4, as: Int32.self),
                let metadataVersion = rows.integer(row, 5, as: Int32.self),
                let cursor = rows.integer(row, 6, as: Int64.self)
            else { throw .database(detail: "unexpected types in spaces") }
            spaces.append(
                Space(
                    id: id, clientID: clientID, rootPublicKey: rows.bytes(row, 2), keyGeneration: keyGeneration,
                    minKeyGeneration: minKeyGeneration, metadataVersion: metadataVersion, cursor: cursor,
                    rewrapEpoch: rows.integer(row, 7, as: Int32.self), homeServer: rows.text(row, 8)))
        }
        return spaces
    }
}
