import FoundationEssentials
package import Logging
package import SyncStorage
import SyncStoragePostgres
import SyncStorageSQLite
import Synchronization

/// A storage of the backend that `DATABASE_URL` names. The only file that knows the backends.
package struct OpenedStorage: Sendable {
    package let storage: any Storage
    /// `postgres` or `sqlite`.
    package let backend: String
    /// Copies SQLite's write-ahead log into the database; `nil` for a backend that does so by itself.
    package let checkpoint: (@Sendable () async throws(StorageError) -> Void)?

    /// Connects, and brings the schema up to date or finds that it is not (docs/contract/operations.md §3, steps 3 and 4).
    package static func open(
        _ configuration: ServerConfiguration, logger: Logger
    ) async throws(StorageError) -> OpenedStorage {
        switch configuration.database {
        case .postgres(let url):
            let postgres = PostgresConfiguration(
                url: url.reveal(), poolSize: configuration.databasePoolSize, migrates: configuration.migratesOnStart)
            return OpenedStorage(
                storage: try await self.open(postgres, logger: logger), backend: "postgres", checkpoint: nil)
        case .sqlite, .sqliteInMemory:
            let sqlite = try await SQLiteStorage.open(SQLiteConfiguration(configuration), logger: logger)
            return OpenedStorage(
                storage: sqlite, backend: "sqlite",
                checkpoint: { () async throws(StorageError) in try await sqlite.checkpoint() })
        }
    }
}

extension OpenedStorage {
    /// Whoever starts a program wants to know why there is no connection.
    private static func open(
        _ configuration: PostgresConfiguration, logger: Logger
    ) async throws(StorageError) -> PostgresStorage {
        try await Self.namingTheCause { onUnreachable throws(StorageError) in
            try await PostgresStorage.open(configuration, logger: logger, onUnreachable: onUnreachable)
        }
    }

    /// - Parameter body: Connects, and hands on why that fails.
    fileprivate static func namingTheCause<Result>(
        _ body: (@escaping @Sendable (String) -> Void) async throws(StorageError) -> Result
    ) async throws(StorageError) -> Result {
        let reason = Mutex<String?>(nil)
        do throws(StorageError) {
            return try await body { text in reason.withLock { $0 = text } }
        } catch {
            guard case .unavailable = error, let text = reason.withLock({ $0 }) else { throw error }
            throw .database(detail: "cannot connect to PostgreSQL: \(text)")
        }
    }

    /// For a tool that writes a row: few connections, no migration, and a server may have the database open.
    ///
    /// - Parameter takingLockIfFree: Keeps servers away from a SQLite database that none has open.
    package static func openBesideServer(
        _ configuration: ServerConfiguration, takingLockIfFree: Bool = false, logger: Logger
    ) async throws(StorageError) -> any Storage {
        var configuration = configuration
        configuration.migratesOnStart = false
        configuration.databasePoolSize = 3
        guard case .postgres = configuration.database else {
            var sqlite = SQLiteConfiguration(configuration)
            sqlite.lock = takingLockIfFree ? .takenIfFree : .ignored
            return try await SQLiteStorage.open(sqlite, logger: logger)
        }
        return try await self.open(configuration, logger: logger).storage
    }
}

extension DatabaseLocation {
    /// Whether the backend can read it. That there is a database is another matter.
    var isUnderstood: Bool {
        guard case .postgres(let url) = self else { return true }
        return PostgresConfiguration.isUnderstood(url: url.reveal())
    }
}

/// A version of the schema, as `less-sync migrate` shows it.
package struct SchemaVersion: Hashable, Sendable {
    package let number: Int
    package let name: String
    /// As the backend writes it; `nil` while pending.
    package let appliedAt: String?
}

/// The schema of the database that `DATABASE_URL` names (docs/contract/operations.md §7).
package struct DatabaseSchema: Sendable {
    /// The version that this program needs, the same in both databases.
    package static let latestVersion = PostgresMigrator.latestVersion

    private let configuration: ServerConfiguration
    private let logger: Logger

    package init(_ configuration: ServerConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    /// Applies everything missing.
    ///
    /// - Returns: What was applied now.
    package func up() async throws(StorageError) -> [SchemaVersion] {
        guard case .postgres(let url) = self.configuration.database else {
            return try await SQLiteMigrator.up(SQLiteConfiguration(self.configuration)).map { SchemaVersion($0) }
        }
        return try await self.withMigrator(url) { migrator throws(StorageError) in
            let applied = try await migrator.migrate()
            return try await migrator.status().filter { applied.contains($0.version) }.map { SchemaVersion($0) }
        }
    }

    /// Undoes the latest `count` versions, latest first, with what they hold. SQLite undoes all or nothing.
    ///
    /// - Returns: What was undone.
    package func down(_ count: Int) async throws(StorageError) -> [SchemaVersion] {
        guard case .postgres(let url) = self.configuration.database else {
            return try await SQLiteMigrator.down(count, SQLiteConfiguration(self.configuration))
                .map { SchemaVersion($0) }
        }
        return try await self.withMigrator(url) { migrator throws(StorageError) in
            let steps = try await migrator.status()
            let undone = try await migrator.down(count)
            return undone.compactMap { version in steps.first { $0.version == version } }.map { SchemaVersion($0) }
        }
    }

    /// Every version that this program knows, in order.
    package func status() async throws(StorageError) -> [SchemaVersion] {
        guard case .postgres(let url) = self.configuration.database else {
            return try await SQLiteMigrator.status(SQLiteConfiguration(self.configuration)).map { SchemaVersion($0) }
        }
        return try await self.withMigrator(url) { migrator throws(StorageError) in
            try await migrator.status().map { SchemaVersion($0) }
        }
    }

    /// The version of the database, 0 when it is empty.
    package func version() async throws(StorageError) -> Int {
        guard case .postgres(let url) = self.configuration.database else {
            return try await SQLiteMigrator.version(SQLiteConfiguration(self.configuration))
        }
        return try await self.withMigrator(url) { migrator throws(StorageError) in try await migrator.version() }
    }

    private func withMigrator<Result: Sendable>(
        _ url: Secret<String>, _ body: (PostgresMigrator) async throws(StorageError) -> Result
    ) async throws(StorageError) -> Result {
        let postgres = PostgresConfiguration(url: url.reveal(), poolSize: self.configuration.databasePoolSize)
        return try await OpenedStorage.namingTheCause { onUnreachable throws(StorageError) in
            try await PostgresStorage.withMigrator(
                postgres, logger: self.logger, onUnreachable: onUnreachable, body)
        }
    }
}

extension SchemaVersion {
    fileprivate init(_ step: PostgresMigrator.Step) {
        self.init(number: step.version, name: step.name, appliedAt: step.appliedAt)
    }

    fileprivate init(_ version: SQLiteMigrator.Version) {
        self.init(
            number: version.number, name: version.name, appliedAt: version.appliedAt.map { $0.formatted(.iso8601) })
    }
}

extension SQLiteConfiguration {
    fileprivate init(_ configuration: ServerConfiguration) {
        var path: String?
        if case .sqlite(let file) = configuration.database { path = file }
        self.init(
            path: path, synchronous: configuration.sqliteSynchronous == .full ? .full : .normal,
            readers: configuration.databasePoolSize, migrates: configuration.migratesOnStart)
    }
}
