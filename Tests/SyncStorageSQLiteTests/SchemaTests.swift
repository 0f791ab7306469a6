import FoundationEssentials
import GRDB
import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncStorageSQLite

@Suite("SQLite schema", .timeLimit(.minutes(5)))
struct SchemaTests {
    private func withDatabase(_ body: (DatabaseQueue) throws -> Void) async throws {
        try await withTemporaryDirectory { directory in
            let queue = try DatabaseQueue.writer(at: directory + "/test.db", SQLiteConfiguration(path: nil))
            try body(queue)
            try queue.close()
        }
    }

    @Test("MG1: an empty database gets every table, column and index, at the latest version")
    func fresh() async throws {
        try await self.withDatabase { queue in
            try queue.inDatabase { db in
                #expect(try SQLiteMigrator.appliedVersion(db) == 0)
                try SQLiteMigrator.migrate(db, now: Date(microseconds: 1))
                #expect(try SQLiteMigrator.appliedVersion(db) == Schema.version)
                let columns: [String: Set<String>] = [
                    "spaces": [
                        "id", "client_id", "root_public_key", "key_generation", "min_key_generation",
                        "metadata_version", "cursor", "created_at", "updated_at", "rewrap_epoch", "home_server",
                    ],
                    "records": ["id", "space_id", "blob", "cursor", "wrapped_dek", "deleted"],
                    "files": ["space_id", "id", "size", "wrapped_dek", "record_id", "cursor", "deleted"],
                    "members": ["space_id", "chain_seq", "prev_hash", "entry_hash", "payload", "cursor"],
                    "revocations": ["space_id", "ucan_cid"],
                    "invitations": ["id", "mailbox_id", "payload", "created_at", "expires_at"],
                    "file_deletions": ["id", "space_id", "file_id", "due_at", "attempts"],
                    "rate_limit_actions": ["action", "actor_hash", "created_at"],
                    "federation_signing_keys": [
                        "kid", "private_key", "public_key", "created_at", "is_active", "is_primary", "deactivated_at",
                    ],
                    "less_sync_migrations": ["version", "name", "applied_at"],
                ]
                let tables = try String.fetchSet(
                    db, sql: "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
                #expect(tables == Set(columns.keys))
                for (table, names) in columns { #expect(try Set(db.columns(in: table).map(\.name)) == names) }
                #expect(try db.primaryKey("records").columns == ["space_id", "id"])
                #expect(try db.primaryKey("files").columns == ["space_id", "id"])
                #expect(try db.primaryKey("members").columns == ["space_id", "chain_seq"])
                let indexes = try String.fetchSet(
                    db, sql: "SELECT name FROM sqlite_schema WHERE type = 'index' AND name NOT LIKE 'sqlite%'")
                #expect(
                    indexes == [
                        "idx_file_deletions_due_at", "idx_records_sync", "idx_files_record_id",
                        "idx_files_space_cursor", "idx_members_cursor",
                        "idx_invitations_mailbox", "idx_invitations_expires_at", "idx_rate_limit_actions_lookup",
                        "federation_signing_keys_single_primary_idx",
                    ])
                #expect(
                    try Int.fetchAll(db, sql: "SELECT version FROM less_sync_migrations ORDER BY version")
                        == Array(1...Schema.version))
            }
        }
    }

    @Test("MG1: the database refuses what the model forbids")
    func constraints() async throws {
        try await self.withDatabase { queue in
            try queue.inDatabase { db in
                try SQLiteMigrator.migrate(db, now: Date())
                let space = Data(repeating: 1, count: 16)
                let dek = Data(repeating: 2, count: 44)
                try db.execute(
                    sql: "INSERT INTO spaces (id, client_id, created_at, updated_at) VALUES (?, 'c', 0, 0)",
                    arguments: [space])
                let record = "INSERT INTO records (space_id, id, cursor, deleted) VALUES (?, ?, 1, ?)"
                try db.execute(sql: record, arguments: [space, space, 0])
                let file = """
                    INSERT INTO files (space_id, id, size, wrapped_dek, record_id, deleted) VALUES (?, ?, ?, ?, ?, ?)
                    """
                try db.execute(sql: file, arguments: [space, space, 0, dek, space, 0])
                let key = """
                    INSERT INTO federation_signing_keys (kid, private_key, public_key, created_at, is_primary)
                    VALUES (?, x'', x'', 0, 1)
                    """
                try db.execute(sql: key, arguments: ["first"])
                let other = Data(repeating: 9, count: 16)
                let refused: [(ResultCode, String, StatementArguments)] = [
                    (.SQLITE_CONSTRAINT_PRIMARYKEY, record, [space, space, 0]),
                    (.SQLITE_CONSTRAINT_FOREIGNKEY, record, [other, space, 0]),
                    (.SQLITE_CONSTRAINT_CHECK, record, [space, Data([1]), 0]),
                    (.SQLITE_CONSTRAINT_CHECK, record, [space, other, 2]),
                    (.SQLITE_CONSTRAINT_FOREIGNKEY, file, [space, other, 0, dek, other, 0]),
                    (.SQLITE_CONSTRAINT_CHECK, file, [space, other, -1, dek, space, 0]),
                    (.SQLITE_CONSTRAINT_CHECK, file, [space, other, 0, Data(), space, 0]),
                    (.SQLITE_CONSTRAINT_UNIQUE, key, ["second"]),
                ]
                for (code, sql, arguments) in refused {
                    let error = #expect(throws: DatabaseError.self) { try db.execute(sql: sql, arguments: arguments) }
                    #expect(error?.extendedResultCode == code, "\(sql)")
                }
                try db.execute(sql: file, arguments: [space, other, 0, Data(), space, 1])
                // The space takes everything with it.
                try db.execute(sql: "DELETE FROM spaces")
                #expect(try Int.fetchOne(db, sql: "SELECT count(*) FROM records") == 0)
                #expect(try Int.fetchOne(db, sql: "SELECT count(*) FROM files") == 0)
            }
        }
    }

    /// A database as version 13 left it.
    private func makeBaseline(_ db: Database) throws {
        try db.execute(sql: Schema.versionTable)
        for statement in Schema.baseline { try db.execute(sql: statement) }
        for (version, name) in Schema.baselineNames {
            try db.execute(
                sql: "INSERT INTO less_sync_migrations (version, name, applied_at) VALUES (?, ?, 1)",
                arguments: [version, name])
        }
    }

    @Test("MG3: a database at version 13 gets what is missing and keeps its data")
    func upgrade() async throws {
        try await withTemporaryDirectory { directory in
            let configuration = SQLiteConfiguration(path: directory + "/test.db", synchronous: .normal, readers: 2)
            let queue = try DatabaseQueue.writer(at: directory + "/test.db", configuration)
            let (space, record, file) = (SpaceID.random(), RecordID.fixture(1), FileID.random())
            try queue.inDatabase { db in
                try self.makeBaseline(db)
                try db.execute(
                    sql: "INSERT INTO spaces (id, client_id, cursor, created_at, updated_at) VALUES (?, 'c', 2, 0, 0)",
                    arguments: [Data(space.bytes)])
                try db.execute(
                    sql: "INSERT INTO records (space_id, id, cursor, blob) VALUES (?, ?, 1, x'01')",
                    arguments: [Data(space.bytes), Data(record.bytes)])
                try db.execute(
                    sql: """
                        INSERT INTO files (space_id, id, size, wrapped_dek, record_id, cursor) VALUES (?, ?, 5, ?, ?, 2)
                        """,
                    arguments: [
                        Data(space.bytes), Data(file.bytes), Data(repeating: 1, count: 44), Data(record.bytes),
                    ])
            }
            try queue.close()

            #expect(try await SQLiteMigrator.version(configuration) == 13)
            #expect(
                try await SQLiteMigrator.status(configuration).filter { $0.appliedAt == nil }.count == Schema.version
                    - 13)
            let storage = try await SQLiteStorage.open(configuration, logger: .silent)
            #expect(try await storage.file(file, in: space).size == 5)
            #expect(try await storage.push([.fixture(1, nil, at: 1)], to: space).receipt?.removedFiles == [file])
            #expect(try await storage.dueFileDeletions(limit: 10).map(\.file) == [file])
            await storage.close()
            #expect(try await SQLiteMigrator.version(configuration) == Schema.version)
        }
    }

    @Test("MG6: a step that fails leaves the version before it")
    func stepHalfWay() async throws {
        try await self.withDatabase { queue in
            try queue.inDatabase { db in
                try self.makeBaseline(db)
                // In the way of the last statement of the step.
                try db.execute(
                    sql: "CREATE TRIGGER files_queue_deletion AFTER INSERT ON files BEGIN SELECT 1; END")
                #expect(throws: DatabaseError.self) { try SQLiteMigrator.migrate(db, now: Date()) }
                #expect(try SQLiteMigrator.appliedVersion(db) == 13)
                #expect(try !db.tableExists("file_deletions"))
                try db.execute(sql: "DROP TRIGGER files_queue_deletion")
                try SQLiteMigrator.migrate(db, now: Date())
                #expect(try SQLiteMigrator.appliedVersion(db) == Schema.version)
            }
        }
    }

    @Test("MG2: migrating again changes nothing")
    func again() async throws {
        try await self.withDatabase { queue in
            try queue.inDatabase { db in
                try SQLiteMigrator.migrate(db, now: Date(microseconds: 1))
                let before = try Int.fetchOne(db, sql: "PRAGMA schema_version")
                try SQLiteMigrator.migrate(db, now: Date(microseconds: 2))
                #expect(try Int.fetchOne(db, sql: "PRAGMA schema_version") == before)
                #expect(try Int.fetchOne(db, sql: "SELECT max(applied_at) FROM less_sync_migrations") == 1)
            }
        }
    }

    @Test("MG6: a migration that fails half-way leaves nothing")
    func halfWay() async throws {
        try await self.withDatabase { queue in
            try queue.inDatabase { db in
                // Room for some of the tables.
                try db.execute(sql: "PRAGMA max_page_count = 8")
                let error = #expect(throws: DatabaseError.self) { try SQLiteMigrator.migrate(db, now: Date()) }
                #expect(error?.resultCode == .SQLITE_FULL)
                #expect(try SQLiteMigrator.appliedVersion(db) == 0)
                try db.execute(sql: "PRAGMA max_page_count = 1000000")
                try SQLiteMigrator.migrate(db, now: Date())
                #expect(try SQLiteMigrator.appliedVersion(db) == Schema.version)
            }
        }
    }

    @Test("MG7: two that migrate at once both finish, each version recorded once")
    func together() async throws {
        try await withTemporaryDirectory { directory in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    let queue = try DatabaseQueue.writer(at: directory + "/test.db", SQLiteConfiguration(path: nil))
                    group.addTask {
                        let versions = try await SQLiteConnection(queue).perform(while: "migrate") { db in
                            try SQLiteMigrator.migrate(db, now: Date())
                            return try Int.fetchOne(db, sql: "SELECT count(*) FROM less_sync_migrations")
                        }
                        #expect(versions == Schema.version)
                    }
                }
                try await group.waitForAll()
            }
        }
    }

    @Test("MG10: a newer, a foreign and an impossible schema are refused")
    func refused() async throws {
        let cases: [(sql: String, error: StorageError)] = [
            (
                "INSERT INTO less_sync_migrations VALUES (\(Schema.version + 1), 'later', 0)",
                .migration(
                    detail: "the database is at version \(Schema.version + 1), "
                        + "newer than version \(Schema.version) of this program")
            ),
            (
                "DELETE FROM less_sync_migrations WHERE version = 4",
                .migration(
                    detail:
                        "the table of versions lists \([1, 2, 3] + (5...Schema.version)), which no program wrote"
                )
            ),
            ("DELETE FROM less_sync_migrations", .migration(detail: "the table of versions is empty")),
            (
                "DROP TABLE less_sync_migrations",
                .migration(detail: "the file has tables, but not those of less-sync")
            ),
        ]
        for (sql, error) in cases {
            try await withTemporaryDirectory { directory in
                let configuration = SQLiteConfiguration(path: directory + "/test.db", readers: 1)
                _ = try await SQLiteMigrator.up(configuration)
                let console = try await SQLiteConsole(path: directory + "/test.db")
                try await console.execute(sql)
                try await console.close()
                await #expect(throws: error) { try await SQLiteStorage.open(configuration, logger: .silent) }
                await #expect(throws: error) { try await SQLiteMigrator.up(configuration) }
                await #expect(throws: error) { try await SQLiteMigrator.status(configuration) }
            }
        }
    }

    @Test("The migrator reports versions before and after, and applies them once")
    func migrator() async throws {
        try await withTemporaryDirectory { directory in
            var configuration = SQLiteConfiguration(path: directory + "/test.db")
            configuration.now = { Date(microseconds: 1_700_000_000_123_456) }
            #expect(try await SQLiteMigrator.version(configuration) == 0)
            let pending = try await SQLiteMigrator.status(configuration)
            #expect(pending.map(\.number) == Array(1...SQLiteMigrator.currentVersion))
            #expect(pending.allSatisfy { $0.appliedAt == nil })
            let applied = try await SQLiteMigrator.up(configuration)
            #expect(applied.map(\.name) == Schema.names.map(\.name))
            #expect(applied.allSatisfy { $0.appliedAt?.microseconds == 1_700_000_000_123_456 })
            #expect(try await SQLiteMigrator.up(configuration).isEmpty)
            #expect(try await SQLiteMigrator.status(configuration) == applied)
            #expect(try await SQLiteMigrator.version(configuration) == Schema.version)
        }
    }

    @Test("Without leave to migrate an empty database is not opened, a migrated one is")
    func notMigrating() async throws {
        try await withTemporaryDirectory { directory in
            var configuration = SQLiteConfiguration(path: directory + "/test.db", readers: 1, migrates: false)
            await #expect(
                throws: StorageError.migration(
                    detail: "the database is at version 0, not \(Schema.version); run less-sync migrate")
            ) { try await SQLiteStorage.open(configuration, logger: .silent) }
            configuration.migrates = true
            _ = try await SQLiteMigrator.up(configuration)
            configuration.migrates = false
            let storage = try await SQLiteStorage.open(configuration, logger: .silent)
            try await storage.ping()
            await storage.close()
        }
    }

    @Test("R6: a pull reads three indexes in order and sorts nothing", arguments: PullTable.allCases, [true, false])
    func plans(table: PullTable, showsDeleted: Bool) async throws {
        try await self.withDatabase { queue in
            try queue.inDatabase { db in
                try SQLiteMigrator.migrate(db, now: Date())
                let sql = "EXPLAIN QUERY PLAN " + table.sql(showsDeleted: showsDeleted)
                let arguments: StatementArguments = [Data(count: 16), 0, Data(count: 16)]
                let plan = try Row.fetchAll(db, sql: sql, arguments: arguments).map { $0["detail"] as String }
                let index =
                    switch table {
                    case .records: "records USING INDEX idx_records_sync (space_id=? AND (cursor,id)>(?,?))"
                    case .members: "members USING INDEX idx_members_cursor (space_id=? AND (cursor,chain_seq)>(?,?))"
                    case .files: "files USING INDEX idx_files_space_cursor (space_id=? AND (cursor,id)>(?,?))"
                    }
                #expect(plan == ["SEARCH " + index])
            }
        }
    }
}
