import SyncTesting

@testable import SyncStoragePostgres

extension PostgresTestStorage {
    /// A storage in a schema of its own, with these limits.
    static func withPostgres(
        poolSize: Int = 4, waitLimit: Duration = .seconds(30), _ body: (PostgresTestStorage) async throws -> Void
    ) async throws {
        try await PostgresTestStorage.withSchema { url in
            // The migrations take as long as they take.
            try await PostgresStorage.open(PostgresConfiguration(url: url), logger: SchemaUnderTest.logger).close()
            var configuration = PostgresConfiguration(url: url, poolSize: poolSize)
            configuration.waitLimit = waitLimit
            try await PostgresTestStorage.with(configuration, body)
        }
    }

    /// Waits until a session of the storage waits for a lock.
    func waitForLock() async throws {
        try await eventually("a session waits for a lock") {
            let rows = try await self.execute(
                """
                SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
                AND 'console_' || application_name = current_setting('application_name')
                """, [])
            return rows.first?.first?.integer ?? 0 > 0
        }
    }
}
