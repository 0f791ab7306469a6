import SyncStorage

@testable import SyncStoragePostgres

extension SchemaUnderTest {
    /// Lends another connection to `body`, on an event thread of its own.
    static func connected(
        to url: String, settings: PostgresStatement? = nil, _ body: (PostgresConnection) async throws -> Void
    ) async throws {
        guard let thread = EventThread() else { throw StorageError.unavailable }
        defer { thread.stop() }
        try await body(
            try await PostgresConnection.connect(
                to: url, on: thread, within: .seconds(30), settings: settings, log: { _ in }))
    }
}

extension PostgresConnection {
    /// The first column of each row.
    func column(_ sql: String) async throws -> [String?] {
        let statement = PostgresStatement(sql: sql, resultsAreText: true)
        guard let rows = try await self.execute([statement], within: .seconds(20)).first else { return [] }
        return (0..<rows.count).map { rows.text($0, 0) }
    }
}
