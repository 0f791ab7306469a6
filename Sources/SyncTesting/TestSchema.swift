import FoundationEssentials
import SyncStoragePostgres
import Synchronization

/// A schema of the server that all tests share, which holds the tables of one test.
struct TestSchema: Sendable {
    /// Of the server, with this schema as the only one in the search path.
    let url: String
    private let name: String

    static func create() async throws -> TestSchema {
        let server = try await PostgresServer.sharedURL()
        let name = "test_" + UUID().uuidString.lowercased().filter { $0 != "-" }
        let separator = server.contains("?") ? "&" : "?"
        let parameters = "options=-csearch_path%3D\(name)&application_name=\(name)"
        let schema = TestSchema(url: server + separator + parameters, name: name)
        try await schema.administrate { try await $0.execute("CREATE SCHEMA \(name)") }
        return schema
    }

    func drop() async throws {
        try await self.administrate { try await $0.execute("DROP SCHEMA \(self.name) CASCADE") }
    }

    /// Those of a storage, without the history of its migrations.
    private static let tables: Set = [
        "federation_signing_keys", "file_deletions", "files", "invitations", "members", "rate_limit_actions", "records",
        "revocations", "spaces",
    ]

    /// Removes every row but the history of migrations, past triggers and foreign keys, and lets counters begin again.
    ///
    /// - Returns: How many rows there were; `nil`, and nothing is removed, when the tables are not those of a storage.
    func removeRows() async throws -> Int64? {
        var removed: Int64?
        try await self.administrate { console in
            let tables = try await console.execute(
                """
                SELECT tablename::text FROM pg_tables
                WHERE schemaname = current_schema() AND tablename <> 'less_sync_migrations'
                """
            ).compactMap { TestValue($0[0]).text }
            guard Set(tables) == Self.tables else { return }
            try await console.execute("SET session_replication_role = replica")
            let deletions = tables.map { "\($0)_ AS (DELETE FROM \($0) RETURNING 1)" }
            let counts = tables.map { "(SELECT count(*) FROM \($0)_)" }
            let rows = try await console.execute(
                "WITH \(deletions.joined(separator: ", ")) SELECT \(counts.joined(separator: " + "))")
            removed = rows.first.flatMap { TestValue($0[0]).integer }
            try await console.execute(
                """
                SELECT setval(quote_ident(schemaname) || '.' || quote_ident(sequencename), 1, false)
                FROM pg_sequences WHERE schemaname = current_schema() AND last_value IS NOT NULL
                """)
        }
        return removed
    }

    private func administrate(_ body: (PostgresConsole) async throws -> Void) async throws {
        let console = try await PostgresConsole(url: self.url)
        defer { console.close() }
        try await body(console)
    }
}

/// Schemas that tests have used and left empty: to make and migrate a new one takes longer than most tests.
final class SparedSchemas: Sendable {
    static let shared = SparedSchemas()

    private let free = Mutex<[TestSchema]>([])

    /// More rows than this leave tables that are slower than new ones.
    private static let rowsMax = 5_000

    /// Runs `body` with a schema that has no rows, and perhaps no tables yet.
    ///
    /// It goes afterwards if `body` failed, left much or dropped a table, and always on a server that outlives this process.
    func withSchema(_ body: (String) async throws -> Void) async throws {
        let spared = self.free.withLock { $0.popLast() }
        let schema = if let spared { spared } else { try await TestSchema.create() }
        do {
            try await body(schema.url)
        } catch {
            try await schema.drop()
            throw error
        }
        if PostgresServer.isPrivate, let removed = try await schema.removeRows(), removed <= Self.rowsMax {
            self.free.withLock { $0.append(schema) }
        } else {
            try await schema.drop()
        }
    }
}
