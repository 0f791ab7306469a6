import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncStoragePostgres

@Suite("Plans of a push on PostgreSQL", .timeLimit(.minutes(3)))
struct PushPlanTests {
    @Test("W1: a push reads every table through an index, also when its plan was made on empty tables")
    func pushPlans() async throws {
        try await PostgresTestStorage.withPostgres { test in
            let space = try await test.makeSpace()
            try await SchemaUnderTest.connected(to: test.url) { connection in
                func push(_ change: PushParams.Change) async throws -> PushOutcome? {
                    let push = Push(space: space, changes: try ChangeSet(validating: [change], limits: PushLimits()))
                    let statement = PostgresStatement(
                        name: "push", sql: PushFunction.call, parameters: PushFunction.parameters(of: [push]))
                    let rows = try await connection.execute([statement], within: .seconds(10))
                    return try PushFunction.outcomes(of: 1, in: try #require(rows.first)).first?.get()
                }
                // Plans are kept from the sixth time on at the latest.
                for number in 0..<8 { #expect(try await push(.fixture(number))?.cursor == Int64(number + 1)) }
                _ = try await test.storage.push((100..<5_100).map { .fixture($0) }, to: space)
                for number in 100..<130 {
                    try await test.insertFile(.fixture(of: .fixture(number), cursor: Int64(number)), into: space)
                }
                // Only the statements of this transaction are counted.
                _ = try await connection.execute([PostgresStatement(sql: "BEGIN")], within: .seconds(10))
                let before = try await test.storage.space(space).cursor
                #expect(try await push(.fixture(7, "again", at: 8))?.cursor == before + 1)
                #expect(try await push(.fixture(100, nil, at: 9))?.receipt?.removedFiles.count == 1)
                #expect(try await push(.fixture(100, "new", at: 9)) == .conflict)
                let counts = try await connection.execute(
                    [
                        PostgresStatement(
                            sql: """
                                SELECT relname FROM pg_stat_xact_user_tables
                                WHERE schemaname = current_schema() AND seq_scan > 0
                                """, resultsAreText: true)
                    ], within: .seconds(10))
                let scanned = counts.first.map { rows in (0..<rows.count).compactMap { rows.text($0, 0) } }
                #expect(scanned == [])
                _ = try await connection.execute([PostgresStatement(sql: "ROLLBACK")], within: .seconds(10))
            }
        }
    }
}
