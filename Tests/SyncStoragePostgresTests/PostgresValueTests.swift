import NIOCore
import SyncProtocol
import SyncStorage
import Testing

@testable import SyncStoragePostgres

@Suite("PostgreSQL's binary format", .timeLimit(.minutes(1)))
struct PostgresValueTests {
    @Test("Every kind of value comes back as it went")
    func roundTrip() async throws {
        try await SchemaUnderTest.with { schema in
            let id = SpaceID.random()
            let ids = [SpaceID.random(), SpaceID.random()]
            let values: [ByteBuffer?] = [
                PostgresValue.id(id), PostgresValue.int8(.min), PostgresValue.text("zwölf"), ByteBuffer(), nil,
                PostgresValue.int4s([1, -1, .max]), PostgresValue.ids(ids), PostgresValue.int4s([]),
            ]
            let rows = try await schema.connection.execute(
                [
                    PostgresStatement(
                        name: "values",
                        sql: """
                            SELECT $1::uuid, $2::int8, $3::text, $4::bytea, $5::bytea, $6::int4[], $7::uuid[], $8::int4[],
                                true, false, 7::int4
                            """,
                        parameters: values)
                ], within: .seconds(10))[0]
            #expect(rows.count == 1 && rows.columns == 11)
            #expect(rows.id(0, 0) == id)
            #expect(rows.integer(0, 1) == Int64.min)
            #expect(rows.text(0, 2) == "zwölf")
            #expect(rows.bytes(0, 3) == ByteBuffer())
            #expect(rows.bytes(0, 4) == nil)
            #expect(rows.integers(0, 5, as: Int32.self) == [1, -1, .max])
            #expect(rows.integers(0, 6, as: UInt128.self) == ids.map(\.bits))
            #expect(rows.integers(0, 7, as: Int32.self) == [])
            #expect(rows.bool(0, 8) == true && rows.bool(0, 9) == false)
            // Of another width than asked for.
            #expect(rows.integer(0, 10, as: Int64.self) == nil)
            #expect(rows.integer(0, 10, as: Int32.self) == 7)
        }
    }

    @Test("Nulls in arrays stay apart from empty values")
    func nullElements() async throws {
        try await SchemaUnderTest.with { schema in
            let blobs: [ByteBuffer?] = [nil, ByteBuffer(), ByteBuffer(string: "x")]
            let array = PostgresValue.array(of: .bytea, blobs, bytes: 1) { blob, buffer in
                guard let blob else { return false }
                buffer.writeImmutableBuffer(blob)
                return true
            }
            let rows = try await schema.connection.execute(
                [
                    PostgresStatement(sql: "SELECT b FROM unnest($1::bytea[]) AS b", parameters: [array]),
                    PostgresStatement(sql: "SELECT ARRAY[1, NULL, 3]::int8[], NULL::int8[], ARRAY[[1, 2], [3, 4]]"),
                ], within: .seconds(10))
            #expect((0..<3).map { rows[0].bytes($0, 0) } == blobs)
            #expect(rows[1].integers(0, 0, as: Int64.self) == [1, nil, 3])
            #expect(rows[1].integers(0, 1, as: Int64.self) == nil)
            #expect(rows[1].integers(0, 2, as: Int32.self) == nil)
            #expect(rows[1].integers(0, 0, as: Int32.self) == nil)
        }
    }
}
