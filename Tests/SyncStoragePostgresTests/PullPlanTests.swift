import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncStoragePostgres

@Suite("Plans of a pull on PostgreSQL", .timeLimit(.minutes(2)))
struct PullPlanTests {
    private static let space = "11111111-1111-1111-1111-111111111111"

    /// 20,000 records, 50 members and 50 files in one space, and some in others.
    private func fill(_ schema: SchemaUnderTest) async throws {
        try await schema.migrator.migrate()
        try await schema.run(
            """
            INSERT INTO spaces (id, client_id, cursor) SELECT id, 'client', 400
            FROM (SELECT '\(Self.space)'::uuid UNION ALL SELECT gen_random_uuid() FROM generate_series(1, 20)) AS s (id)
            """)
        try await schema.run(
            """
            INSERT INTO records (space_id, id, blob, cursor, deleted)
            SELECT '\(Self.space)', gen_random_uuid(), CASE WHEN i % 10 > 0 THEN '\\x00'::bytea END, i / 50, i % 10 = 0
            FROM generate_series(1, 20000) AS i
            """)
        try await schema.run(
            """
            INSERT INTO records (space_id, id, blob, cursor)
            SELECT s.id, gen_random_uuid(), '\\x00', i FROM spaces s, generate_series(1, 100) AS i
            WHERE s.id <> '\(Self.space)'
            """)
        try await schema.run(
            """
            INSERT INTO members (space_id, chain_seq, entry_hash, payload, cursor)
            SELECT '\(Self.space)', i, '\\x00', '\\x00', i * 7 FROM generate_series(1, 50) AS i
            """)
        try await schema.run(
            """
            INSERT INTO files (space_id, id, size, wrapped_dek, record_id, cursor)
            SELECT space_id, gen_random_uuid(), 1, decode(repeat('00', 44), 'hex'), id, cursor
            FROM records WHERE space_id = '\(Self.space)' ORDER BY cursor, id LIMIT 50
            """)
    }

    @Test(
        "R6: index-ordered scans are merged, nothing is sorted, whatever PostgreSQL knows of the tables",
        arguments: [true, false], [0, 5])
    func noSort(isAnalyzed: Bool, since: Int64) async throws {
        try await SchemaUnderTest.with { schema in
            try await self.fill(schema)
            if isAnalyzed { try await schema.run("ANALYZE") }
            for recordsOnly in [true, false] {
                for mode in ["force_generic_plan", "force_custom_plan"] {
                    let plan = try await self.plan(since, recordsOnly: recordsOnly, mode: mode, schema)
                    let root = recordsOnly ? "Index Scan using idx_records_sync" : "Merge Append"
                    #expect(plan.hasPrefix(root), "\(mode)\n\(plan)")
                    #expect(plan.contains("Index Scan using idx_records_sync"), "\(mode)\n\(plan)")
                    // Members and files of one cursor may be put in order; a whole part or the union may not.
                    #expect(!plan.contains("->  Sort"), "\(mode)\n\(plan)")
                }
            }
        }
    }

    private func plan(
        _ since: Int64, recordsOnly: Bool, mode: String, _ schema: SchemaUnderTest
    ) async throws -> String {
        let space = try #require(SpaceID(wireText: Self.space))
        try await schema.run(PostgresStatement.sessionSettings(waitLimit: .seconds(30)).sql)
        for statement in PullQuery.open(space, since: since).filter({ $0.parameters.isEmpty }) {
            try await schema.run(statement.sql)
        }
        try await schema.run("SET LOCAL plan_cache_mode = \(mode)")
        let query = PullQuery.rows(of: space, since: since, recordsOnly: recordsOnly).sql
        try await schema.run("PREPARE pull AS \(query)")
        let plan = try await schema.column("EXPLAIN (COSTS OFF) EXECUTE pull ('\(Self.space)', \(since))")
        try await schema.run("DEALLOCATE pull")
        try await schema.run("ROLLBACK")
        return plan.compactMap { $0 }.joined(separator: "\n")
    }

    @Test("PL4: members and files come in their place among many records, with equal cursors by id")
    func merged() async throws {
        try await SchemaUnderTest.with { schema in
            try await self.fill(schema)
            let space = try #require(SpaceID(wireText: Self.space))
            try await PostgresTestStorage.with(schema.configuration) { test in
                for since in [Int64(0), 3, 399] {
                    let pull = try await test.storage.collectPull(of: space, since: since)
                    let keys = pull.entries.map(PullKey.init)
                    #expect(keys == keys.sorted())
                    let records = (1...20_000).count { $0 / 50 > since && (since != 0 || $0 % 10 > 0) }
                    #expect(pull.records.count == records)
                    #expect(
                        pull.entries.count { if case .member = $0 { true } else { false } }
                            == max(0, 50 - Int(since / 7)))
                }
            }
        }
    }
}

/// What a pull is ordered by.
private struct PullKey: Comparable {
    let cursor: Int64
    let id: UInt128?

    init(_ entry: PullEntry) {
        self.cursor = entry.cursor
        switch entry {
        case .record(let record): self.id = record.id.bits
        case .file(let file): self.id = file.id.bits
        case .member: self.id = nil
        }
    }

    /// A member entry has a cursor of its own.
    static func < (left: Self, right: Self) -> Bool {
        (left.cursor, left.id ?? .max) < (right.cursor, right.id ?? .max)
    }
}
