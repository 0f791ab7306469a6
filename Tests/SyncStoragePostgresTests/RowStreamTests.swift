import SyncStorage
import Testing

@testable import SyncStoragePostgres

@Suite("PostgreSQL row stream", .timeLimit(.minutes(1)))
struct RowStreamTests {
    @Test("PL11: rows of 20 MiB pass through a stream that holds half a MiB")
    func backPressure() async throws {
        try await SchemaUnderTest.with { schema in
            let stream = RowStream()
            schema.connection.stream(
                PostgresStatement(
                    name: "rows", sql: "SELECT i, repeat('x', 10000) FROM generate_series(1, 2000) AS i"),
                to: stream, within: .seconds(20))
            var numbers: [Int32?] = []
            var isBounded = true
            while let (chunks, mustResume) = try await stream.next() {
                let bytes = chunks.reduce(0) { $0 + $1.byteCount }
                let most = PostgresLimits.streamedBytesMax + PostgresLimits.streamedChunkBytes + 20_000
                isBounded = isBounded && bytes <= most
                for chunk in chunks {
                    isBounded = isBounded && chunk.count <= PostgresLimits.streamedChunkRows
                    numbers += (0..<chunk.count).map { chunk.integer($0, 0, as: Int32.self) }
                }
                if mustResume { schema.connection.resumeReading() }
            }
            #expect(numbers == (1...2_000).map { Int32($0) })
            #expect(isBounded)
            #expect(schema.connection.isUsable)
        }
    }

    @Test("PL13: a statement that fails after some rows ends the stream with the failure")
    func failsMidway() async throws {
        try await SchemaUnderTest.with { schema in
            let stream = RowStream()
            schema.connection.stream(
                PostgresStatement(sql: "SELECT 1 / (1000 - i), repeat('x', 1000) FROM generate_series(1, 2000) AS i"),
                to: stream, within: .seconds(20))
            var rows = 0
            await #expect(throws: PostgresFailure.statement(code: "22012", message: "division by zero")) {
                while let (chunks, mustResume) = try await stream.next() {
                    rows += chunks.reduce(0) { $0 + $1.count }
                    if mustResume { schema.connection.resumeReading() }
                }
            }
            #expect(rows <= 999)
            let next = try await schema.column("SELECT 1")
            #expect(next == ["1"])
        }
    }

    @Test("An empty answer is the end at once")
    func empty() async throws {
        try await SchemaUnderTest.with { schema in
            let stream = RowStream()
            schema.connection.stream(
                PostgresStatement(sql: "SELECT 1 WHERE false"), to: stream, within: .seconds(20))
            let end = try await stream.next()
            #expect(end == nil)
        }
    }
}
