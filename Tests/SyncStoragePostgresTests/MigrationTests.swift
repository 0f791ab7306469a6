import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncStoragePostgres

@Suite("PostgreSQL migrations", .timeLimit(.minutes(3)))
struct MigrationTests {
    private static let space = "11111111-1111-1111-1111-111111111111"
    private static let otherSpace = "22222222-2222-2222-2222-222222222222"
    private static let record = "019400e8-7b5d-7000-8000-000000000001"

    @Test("MG1: an empty database gets every table, column, index and constraint, at the latest version")
    func fresh() async throws {
        try await SchemaUnderTest.with { schema in
            #expect(try await schema.migrator.version() == 0)
            #expect(try await schema.migrator.migrate() == Array(1...Migration.latestVersion))
            #expect(try await schema.migrator.version() == Migration.latestVersion)
            let columns = try await schema.column(
                """
                SELECT table_name || ': ' || string_agg(
                    column_name || ' ' || data_type || CASE is_nullable WHEN 'NO' THEN '!' ELSE '' END, ', '
                    ORDER BY column_name)
                FROM information_schema.columns WHERE table_schema = current_schema() GROUP BY table_name ORDER BY 1
                """)
            let times = "timestamp with time zone"
            #expect(
                columns == [
                    """
                    federation_signing_keys: created_at \(times)!, deactivated_at \(times), is_active boolean!, \
                    is_primary boolean!, kid text!, private_key bytea!, public_key bytea!
                    """,
                    "file_deletions: attempts integer!, due_at \(times)!, file_id uuid!, id bigint!, space_id uuid!",
                    """
                    files: cursor bigint!, deleted boolean!, id uuid!, record_id uuid!, size bigint!, space_id uuid!, \
                    wrapped_dek bytea!
                    """,
                    """
                    invitations: created_at \(times)!, expires_at \(times)!, id uuid!, mailbox_id character!, \
                    payload bytea!
                    """,
                    "less_sync_migrations: applied_at \(times)!, name text!, version integer!",
                    """
                    members: chain_seq integer!, cursor bigint!, entry_hash bytea!, payload bytea!, prev_hash bytea, \
                    space_id uuid!
                    """,
                    "rate_limit_actions: action character varying!, actor_hash character!, created_at \(times)!",
                    """
                    records: blob bytea, cursor bigint!, deleted boolean!, id uuid!, space_id uuid!, wrapped_dek bytea
                    """,
                    "revocations: space_id uuid!, ucan_cid text!",
                    """
                    spaces: client_id text!, created_at \(times)!, cursor bigint!, home_server text, id uuid!, \
                    key_generation integer!, metadata_version integer!, min_key_generation integer!, \
                    rewrap_epoch integer, root_public_key bytea, updated_at \(times)!
                    """,
                ])
            let description = try await schema.description()
            for object in [
                "records: records_pkey PRIMARY KEY (space_id, id)",
                "records: records_space_id_fkey FOREIGN KEY (space_id) REFERENCES spaces(id) ON DELETE CASCADE",
                "files: files_pkey PRIMARY KEY (space_id, id)",
                "files: files_record_fk FOREIGN KEY (space_id, record_id) REFERENCES records(space_id, id)",
                "files: files_space_id_fkey FOREIGN KEY (space_id) REFERENCES spaces(id) ON DELETE CASCADE",
                "members: members_pkey PRIMARY KEY (space_id, chain_seq)",
                "members: members_space_id_fkey FOREIGN KEY (space_id) REFERENCES spaces(id) ON DELETE CASCADE",
                "revocations: revocations_space_id_ucan_cid_key UNIQUE (space_id, ucan_cid)",
                "invitations: invitations_pkey PRIMARY KEY (id)",
                "spaces: spaces_pkey PRIMARY KEY (id)",
                "spaces_updated_at on spaces",
                "update_updated_at_column",
                "file_deletions: file_deletions_pkey PRIMARY KEY (id)",
                "files_queue_deletion on files",
                "queue_file_deletion",
            ] {
                #expect(description.contains(object))
            }
            #expect(description.contains { $0.hasPrefix("files: files_not_deleted_check CHECK") })
            let indexes = try await schema.column(
                "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema() AND indexname !~ '_(pkey|key)$'")
            #expect(
                Set(indexes.compactMap { $0 }) == [
                    "idx_file_deletions_due_at", "idx_records_sync", "idx_files_record_id", "idx_files_space_cursor",
                    "idx_members_cursor",
                    "idx_invitations_mailbox", "idx_invitations_expires_at", "idx_rate_limit_actions_lookup",
                    "federation_signing_keys_single_primary_idx",
                ])
        }
    }

    @Test("MG2: a second migration changes nothing")
    func again() async throws {
        try await SchemaUnderTest.with { schema in
            try await schema.migrator.migrate()
            let before = try await schema.run("SELECT * FROM less_sync_migrations ORDER BY version")
            #expect(try await schema.migrator.migrate() == [])
            #expect(try await schema.run("SELECT * FROM less_sync_migrations ORDER BY version") == before)
            #expect(before.map { $0[0] } == (1...Migration.latestVersion).map(String.init))
        }
    }

    @Test("MG3: a database of the reference server is taken over with its data")
    func reference() async throws {
        try await SchemaUnderTest.with { schema in
            try await schema.build(through: 12)
            try await schema.writeReferenceHistory(1...12)
            try await schema.run("INSERT INTO spaces (id, client_id, cursor) VALUES ('\(Self.space)', 'client', 2)")
            try await schema.run(
                """
                INSERT INTO records (id, space_id, blob, cursor, wrapped_dek)
                VALUES ('\(Self.record)', '\(Self.space)', '\\x6f6c64', 1, NULL)
                """)
            try await schema.run(
                """
                INSERT INTO files (space_id, id, size, wrapped_dek, record_id, cursor)
                VALUES ('\(Self.space)', gen_random_uuid(), 5, decode(repeat('00', 44), 'hex'), '\(Self.record)', 2)
                """)
            let storage = try await PostgresStorage.open(schema.configuration, logger: SchemaUnderTest.logger)
            let space = try #require(SpaceID(wireText: Self.space))
            #expect(try await storage.space(space).cursor == 2)
            #expect(try await storage.recordExists(.fixture(1), in: space))
            let pull = try await storage.collectPull(of: space)
            #expect(pull.records.map(\.blob) == [ByteBuffer(string: "old")])
            #expect(pull.entries.count == 2)
            let receipt = try await storage.push([.fixture(1, nil, at: 1)], to: space).receipt
            #expect(receipt?.cursor == 3 && receipt?.removedFiles.count == 1)
            await storage.close()

            #expect(try await schema.column("SELECT count(*) FROM _sqlx_migrations") == ["12"])
            #expect(try await schema.migrator.version() == Migration.latestVersion)
        }
    }

    @Test("MG3: of a database of the reference server the objects of files that go are queued from then on")
    func referenceFiles() async throws {
        try await SchemaUnderTest.with { schema in
            try await schema.build(through: 12)
            try await schema.writeReferenceHistory(1...12)
            try await schema.run("INSERT INTO spaces (id, client_id, cursor) VALUES ('\(Self.space)', 'client', 3)")
            try await schema.run(
                "INSERT INTO records (id, space_id, blob, cursor) VALUES ('\(Self.record)', '\(Self.space)', '\\x6f', 1)"
            )
            for file in [Self.space, Self.otherSpace] {
                try await schema.run(
                    """
                    INSERT INTO files (space_id, id, size, wrapped_dek, record_id, cursor)
                    VALUES ('\(Self.space)', '\(file)', 5, decode(repeat('00', 44), 'hex'), '\(Self.record)', 2)
                    """)
            }
            // Gone before we came: its object is not in the queue.
            try await schema.run("DELETE FROM files WHERE id = '\(Self.space)'")
            let storage = try await PostgresStorage.open(schema.configuration, logger: SchemaUnderTest.logger)
            let space = try #require(SpaceID(wireText: Self.space))
            let left = try #require(FileID(wireText: Self.otherSpace))
            #expect(try await storage.file(left, in: space).size == 5)
            #expect(try await storage.dueFileDeletions(limit: 10) == [])
            #expect(try await storage.push([.fixture(1, nil, at: 1)], to: space).receipt?.removedFiles == [left])
            #expect(try await storage.dueFileDeletions(limit: 10).map(\.file) == [left])
            await storage.close()
        }
    }

    @Test("MG8: version 14 is undone with what it has queued, and applied again")
    func fileDeletions() async throws {
        try await SchemaUnderTest.with { schema in
            try await schema.migrator.migrate()
            try await schema.migrator.down(Migration.latestVersion - 13)
            let before = try await schema.description()
            #expect(try await schema.migrator.migrate() == Array(14...Migration.latestVersion))
            try await schema.run("INSERT INTO spaces (id, client_id, cursor) VALUES ('\(Self.space)', 'client', 3)")
            try await schema.run(
                "INSERT INTO records (id, space_id, blob, cursor) VALUES ('\(Self.record)', '\(Self.space)', '\\x6f', 1)"
            )
            try await schema.run(
                """
                INSERT INTO files (space_id, id, size, wrapped_dek, record_id, cursor)
                VALUES ('\(Self.space)', '\(Self.record)', 5, decode(repeat('00', 44), 'hex'), '\(Self.record)', 2)
                """)
            try await schema.run("DELETE FROM files")
            #expect(try await schema.column("SELECT file_id FROM file_deletions") == [Self.record])
            try await schema.migrator.down(Migration.latestVersion - 13)
            #expect(try await schema.description() == before)
            #expect(try await schema.migrator.migrate() == Array(14...Migration.latestVersion))
            #expect(try await schema.column("SELECT file_id FROM file_deletions") == [])
        }
    }

    @Test("MG4: a database of the older server gets what is missing, and its oldest key becomes primary")
    func older() async throws {
        try await SchemaUnderTest.with { schema in
            try await schema.build(through: 11)
            try await schema.writeOlderHistory((0...11).map { ($0, true) })
            for (kid, day) in [("b", 2), ("a", 2), ("c", 3)] {
                try await schema.run(
                    "INSERT INTO federation_signing_keys VALUES ('\(kid)', '\\x00', '\\x00', '2024-01-0\(day)')")
            }
            #expect(try await schema.migrator.version() == 11)
            #expect(try await schema.migrator.migrate() == Array(12...Migration.latestVersion))
            #expect(try await schema.column("SELECT kid FROM federation_signing_keys WHERE is_primary") == ["a"])
        }
    }

    @Test("MG4: a version that the older server undid is not applied")
    func olderUndone() async throws {
        try await SchemaUnderTest.with { schema in
            try await schema.build(through: 10)
            try await schema.writeOlderHistory((0...11).map { ($0, true) } + [(11, false)])
            #expect(try await schema.migrator.migrate() == Array(11...Migration.latestVersion))
        }
    }

    @Test("MG5: a failed version in the reference server's history stops the migration")
    func failed() async throws {
        try await SchemaUnderTest.with { schema in
            try await schema.build(through: 7)
            try await schema.writeReferenceHistory(1...7, failed: [7])
            let before = try await schema.description()
            await #expect(throws: StorageError.migration(detail: "version 7 is recorded as failed")) {
                try await schema.migrator.migrate()
            }
            #expect(try await schema.description() == before)
        }
    }

    @Test("MG6: a step that fails half-way leaves the version before it")
    func halfWay() async throws {
        try await SchemaUnderTest.with { schema in
            try await schema.build(through: 4)
            try await schema.writeReferenceHistory(1...4)
            // The record that version 5 says a file belongs to does not exist.
            try await schema.run("INSERT INTO spaces (id, client_id) VALUES ('\(Self.space)', 'client')")
            try await schema.run(
                "INSERT INTO files (space_id, id, size, wrapped_dek) "
                    + "VALUES ('\(Self.space)', gen_random_uuid(), 1, decode(repeat('AB', 44), 'hex'))")
            let before = try await schema.description()
            do {
                try await schema.migrator.migrate()
                Issue.record("The migration succeeded.")
            } catch StorageError.migration(let detail) {
                #expect(detail.hasPrefix("version 5 (files_record_id): "))
                #expect(!detail.contains(Self.space) && !detail.lowercased().contains("abab"))
            }
            let after = try await schema.description()
            #expect(after.filter { !$0.contains("less_sync_migrations") } == before)
            #expect(try await schema.migrator.version() == 4)

            try await schema.run("DELETE FROM files")
            #expect(try await schema.migrator.migrate() == Array(5...Migration.latestVersion))
        }
    }

    @Test("MG7: migrators that start together take turns")
    func together() async throws {
        try await SchemaUnderTest.with { schema in
            let storages = try await withThrowingTaskGroup(of: PostgresStorage.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        try await PostgresStorage.open(schema.configuration, logger: SchemaUnderTest.logger)
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            for storage in storages {
                try await storage.ping()
                await storage.close()
            }
            #expect(
                try await schema.column("SELECT version FROM less_sync_migrations ORDER BY version")
                    == (1...Migration.latestVersion).map(String.init))
        }
    }

    @Test("MG8: all the way down and up again gives the same schema")
    func downAndUp() async throws {
        try await SchemaUnderTest.with { schema in
            try await schema.migrator.migrate()
            let before = try await schema.description()
            for version in (1...Migration.latestVersion).reversed() {
                #expect(try await schema.migrator.down(1) == [version])
                #expect(try await schema.migrator.version() == version - 1)
            }
            #expect(try await schema.migrator.down(1) == [])
            #expect(
                try await schema.column("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
                    == ["less_sync_migrations"])
            try await schema.migrator.migrate()
            #expect(try await schema.description() == before)
            #expect(try await schema.migrator.down(Migration.latestVersion) == (1...Migration.latestVersion).reversed())
        }
    }

    @Test("MG8: down leaves nothing of what this program makes at its start", arguments: [1, 2])
    func downOfFunction(count: Int) async throws {
        try await SchemaUnderTest.with { schema in
            try await schema.migrator.migrate()
            try await schema.migrator.down(count)
            let before = try await schema.description()
            try await schema.migrator.migrate { session throws(StorageError) in
                try await session.run(PushFunction.create)
            }
            #expect(try await schema.description().contains("less_sync_push"))
            try await schema.migrator.down(count)
            #expect(try await schema.description() == before)
        }
    }

    @Test("MG8: each step down and up again gives the same schema")
    func eachStep() async throws {
        try await SchemaUnderTest.with { schema in
            for migration in Migration.all {
                let before = try await schema.description()
                for statement in migration.up { try await schema.run(statement) }
                let after = try await schema.description()
                for statement in migration.down { try await schema.run(statement) }
                // 006 and 008 restore columns with a default or as nullable: the values are gone (storage.md §3).
                if ![6, 8].contains(migration.version) {
                    #expect(try await schema.description() == before, "down of \(migration.name)")
                }
                for statement in migration.up { try await schema.run(statement) }
                #expect(try await schema.description() == after, "up of \(migration.name) again")
            }
        }
    }

    @Test("MG8: down removes the versions from the histories of other programs too")
    func downOfTakenOver() async throws {
        try await SchemaUnderTest.with { schema in
            try await schema.build(through: 12)
            try await schema.writeReferenceHistory(1...12)
            try await schema.writeOlderHistory((0...11).map { ($0, true) })
            try await schema.migrator.migrate()
            #expect(
                try await schema.migrator.down(Migration.latestVersion - 10)
                    == (11...Migration.latestVersion).reversed())
            #expect(try await schema.column("SELECT max(version) FROM _sqlx_migrations") == ["10"])
            #expect(try await schema.column("SELECT max(version_id) FROM goose_db_version") == ["10"])
            #expect(try await schema.migrator.version() == 10)
        }
    }

    @Test("MG9: a record without a blob is a deleted record from version 10 on")
    func nullBlob() async throws {
        try await SchemaUnderTest.with { schema in
            try await schema.build(through: 9)
            try await schema.writeReferenceHistory(1...9)
            try await schema.run("INSERT INTO spaces (id, client_id) VALUES ('\(Self.space)', 'client')")
            try await schema.run(
                """
                INSERT INTO records (id, space_id, blob, sequence)
                VALUES ('\(Self.record)', '\(Self.space)', NULL, 1), (gen_random_uuid(), '\(Self.space)', '\\x', 2)
                """)
            try await schema.migrator.migrate()
            #expect(
                try await schema.run("SELECT cursor, deleted FROM records ORDER BY cursor") == [
                    ["1", "t"], ["2", "f"],
                ])
        }
    }

    @Test("MG10: a newer schema is refused", arguments: [Migration.latestVersion + 1, 99])
    func newer(version: Int) async throws {
        let error = StorageError.migration(
            detail: "the schema is at version \(version), newer than this program's \(Migration.latestVersion)")
        try await SchemaUnderTest.with { schema in
            try await schema.migrator.migrate()
            try await schema.run("INSERT INTO less_sync_migrations (version, name) VALUES (\(version), 'later')")
            await #expect(throws: error) { try await schema.migrator.migrate() }
            await #expect(throws: error) { try await schema.migrator.down(1) }
            await #expect(throws: error) { try await schema.migrator.version() }
            await #expect(throws: error) { try await schema.migrator.status() }
            await #expect(throws: error) {
                _ = try await PostgresStorage.open(schema.configuration, logger: SchemaUnderTest.logger)
            }
        }
    }

    @Test(
        "MG10: another program's version that nobody here knows is not ours of the same number",
        arguments: [13, 14, 99])
    func newerForeign(version: Int) async throws {
        try await SchemaUnderTest.with { schema in
            let error = StorageError.migration(
                detail: "the schema is at version \(version), newer than the known 12 of its program")
            try await schema.build(through: 12)
            try await schema.writeReferenceHistory(1...12)
            try await schema.run("INSERT INTO _sqlx_migrations VALUES (\(version), 'x', now(), true, '\\x00', 1)")
            await #expect(throws: error) { try await schema.migrator.migrate() }
            await #expect(throws: error) { try await schema.migrator.version() }
            await #expect(throws: error) { try await schema.migrator.status() }
            #expect(try await schema.run("SELECT to_regclass('less_sync_migrations')") == [[nil]])
        }
        try await SchemaUnderTest.with { schema in
            try await schema.build(through: 11)
            try await schema.writeOlderHistory((1...12).map { ($0, true) })
            let error = StorageError.migration(
                detail: "the schema is at version 12, newer than the known 11 of its program")
            await #expect(throws: error) { try await schema.migrator.migrate() }
            #expect(try await schema.run("SELECT to_regclass('less_sync_migrations')") == [[nil]])
        }
    }

    @Test("W5: version 13 is undone only while no id occurs in two spaces")
    func recordsSpaceKey() async throws {
        try await SchemaUnderTest.with { schema in
            try await schema.migrator.migrate()
            try await schema.migrator.down(Migration.latestVersion - 13)
            for space in [Self.space, Self.otherSpace] {
                try await schema.run("INSERT INTO spaces (id, client_id) VALUES ('\(space)', 'client')")
                try await schema.run(
                    "INSERT INTO records (id, space_id, blob, cursor) VALUES ('\(Self.record)', '\(space)', '\\x', 1)")
            }
            do {
                try await schema.migrator.down(1)
                Issue.record("Version 13 was undone.")
            } catch StorageError.migration(let detail) {
                #expect(detail.hasPrefix("version 13 (records_space_key): "))
                // The detail of the error quotes the id.
                #expect(!detail.contains(Self.record))
            }
            #expect(try await schema.migrator.version() == 13)
            try await schema.run("DELETE FROM records WHERE space_id = '\(Self.otherSpace)'")
            #expect(try await schema.migrator.down(1) == [13])
            #expect(try await schema.migrator.migrate() == Array(13...Migration.latestVersion))
        }
    }

    @Test("The status lists every version and writes nothing")
    func status() async throws {
        try await SchemaUnderTest.with { schema in
            let pending = try await schema.migrator.status()
            #expect(pending.map(\.version) == Array(1...Migration.latestVersion))
            #expect(pending.first?.name == "initial" && pending.last?.name == Migration.all.last?.name)
            #expect(pending.allSatisfy { $0.appliedAt == nil })
            try await schema.build(through: 3)
            try await schema.writeOlderHistory((0...3).map { ($0, true) })
            #expect(try await schema.migrator.status().count { $0.appliedAt != nil } == 3)
            #expect(try await schema.column("SELECT to_regclass('less_sync_migrations')") == [nil])
            try await schema.migrator.migrate()
            #expect(try await schema.migrator.status().allSatisfy { $0.appliedAt != nil })
        }
    }

    @Test("A database that is not up to date is refused when it may not be migrated")
    func notMigrating() async throws {
        try await SchemaUnderTest.with { schema in
            var configuration = schema.configuration
            configuration.migrates = false
            await #expect(
                throws: StorageError.migration(
                    detail: "the database is at version 0, not \(Migration.latestVersion); run less-sync migrate")
            ) { _ = try await PostgresStorage.open(configuration, logger: SchemaUnderTest.logger) }
            #expect(try await schema.description() == [])
            try await schema.migrator.migrate()
            let storage = try await PostgresStorage.open(configuration, logger: SchemaUnderTest.logger)
            #expect(try await storage.push([.fixture(1)], to: .random(), creator: "client").cursor == 1)
            await storage.close()
        }
    }
}
