import FoundationEssentials
import Logging
import SyncStorage
import SyncTesting

@testable import SyncStoragePostgres

/// An empty schema of its own on the test server, and a connection to it.
struct SchemaUnderTest: Sendable {
    let url: String
    let thread: EventThread
    let session: PostgresSession

    var connection: PostgresConnection { self.session.connection }

    var configuration: PostgresConfiguration { PostgresConfiguration(url: self.url, poolSize: 4) }

    static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    static func with(_ body: (SchemaUnderTest) async throws -> Void) async throws {
        let name = "test_" + String(UUID().uuidString.lowercased().filter { $0 != "-" })
        let server = try await PostgresServer.sharedURL()
        let url = server + (server.contains("?") ? "&" : "?") + "options=-csearch_path%3D" + name
        guard let thread = EventThread() else { throw StorageError.unavailable }
        defer { thread.stop() }
        let connection = try await PostgresConnection.connect(to: url, on: thread, within: .seconds(30)) { _ in }
        defer { connection.close() }
        let schema = SchemaUnderTest(url: url, thread: thread, session: PostgresSession(connection: connection))
        try await schema.run("CREATE SCHEMA \(name)")
        let result: Result<Void, any Error>
        do { result = .success(try await body(schema)) } catch { result = .failure(error) }
        try await schema.run("SET client_min_messages = error")
        try await schema.run("DROP SCHEMA \(name) CASCADE")
        try result.get()
    }

    var migrator: PostgresMigrator { PostgresMigrator(session: self.session, logger: Self.logger) }

    @discardableResult
    func run(_ sql: String) async throws -> [[String?]] { try await self.session.run(sql) }

    /// The first column of each row.
    func column(_ sql: String) async throws -> [String?] { try await self.run(sql).map { $0.first ?? nil } }

    /// Brings an empty schema to a version as another program would: without our table of versions.
    func build(through version: Int) async throws {
        try await self.run("BEGIN")
        for migration in Migration.all.prefix(version) {
            for statement in migration.up { try await self.run(statement) }
        }
        try await self.run("COMMIT")
    }

    /// The table of versions that the reference server keeps.
    func writeReferenceHistory(_ versions: ClosedRange<Int>, failed: Set<Int> = []) async throws {
        try await self.run(
            """
            CREATE TABLE _sqlx_migrations (
                version bigint PRIMARY KEY, description text NOT NULL, installed_on timestamptz NOT NULL DEFAULT now(),
                success boolean NOT NULL, checksum bytea NOT NULL, execution_time bigint NOT NULL
            )
            """)
        for version in versions {
            try await self.run(
                "INSERT INTO _sqlx_migrations VALUES (\(version), 'x', now(), \(!failed.contains(version)), '\\x00', 1)"
            )
        }
    }

    /// The table of versions that the reference server's predecessor keeps.
    func writeOlderHistory(_ rows: [(version: Int, isApplied: Bool)]) async throws {
        try await self.run(
            """
            CREATE TABLE goose_db_version (
                id serial PRIMARY KEY, version_id bigint NOT NULL, is_applied boolean NOT NULL, tstamp timestamp
            )
            """)
        for (index, row) in rows.enumerated() {
            try await self.run(
                """
                INSERT INTO goose_db_version (version_id, is_applied, tstamp)
                VALUES (\(row.version), \(row.isApplied), timestamp '2024-01-01' + interval '\(index) minutes')
                """)
        }
    }

    /// Every column, constraint, index, trigger and function of the schema, in words.
    func description() async throws -> [String] {
        let columns = try await self.column(
            """
            SELECT format('%s.%s %s null=%s default=%s', c.table_name, c.column_name, c.data_type, c.is_nullable,
                          c.column_default)
            FROM information_schema.columns c WHERE c.table_schema = current_schema()
            """)
        let constraints = try await self.column(
            """
            SELECT format('%s: %s %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))
            FROM pg_constraint k WHERE k.connamespace = current_schema()::regnamespace
            """)
        let indexes = try await self.column(
            "SELECT replace(indexdef, current_schema(), '') FROM pg_indexes WHERE schemaname = current_schema()")
        let others = try await self.column(
            """
            SELECT format('%s on %s', t.tgname, t.tgrelid::regclass) FROM pg_trigger t
            JOIN pg_class c ON c.oid = t.tgrelid
            WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace
            UNION ALL
            SELECT p.proname FROM pg_proc p WHERE p.pronamespace = current_schema()::regnamespace
            """)
        return (columns + constraints + indexes + others).compactMap { $0 }.sorted()
    }
}
