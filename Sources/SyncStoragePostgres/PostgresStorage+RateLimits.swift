package import SyncStorage

extension PostgresStorage {
    package func countRecentActions(
        _ action: String, by actor: String, since: Int64
    ) async throws(StorageError) -> Int {
        let rows = try await self.run(
            PostgresStatement(
                name: "count_actions",
                sql: """
                    SELECT count(*) FROM rate_limit_actions
                    WHERE action = $1::varchar AND actor_hash = $2::bpchar AND created_at > $3::timestamptz
                    """,
                parameters: [
                    PostgresValue.text(action), PostgresValue.text(actor), PostgresValue.timestamp(since),
                ]))
        guard let count = rows.integer(0, 0, as: Int64.self) else {
            throw .database(detail: "unexpected types in rate_limit_actions")
        }
        return Int(count)
    }

    package func recordAction(_ action: String, by actor: String) async throws(StorageError) {
        _ = try await self.run(
            PostgresStatement(
                name: "record_action",
                sql: "INSERT INTO rate_limit_actions (action, actor_hash) VALUES ($1::varchar, $2::bpchar)",
                parameters: [PostgresValue.text(action), PostgresValue.text(actor)]))
    }

    package func cleanUpActions(before: Int64, limit: Int) async throws(StorageError) -> Int {
        // The rows have no key. They are locked: each is still where it was found. Servers that clean up at once each take
        // what the others have not taken yet.
        let rows = try await self.run(
            PostgresStatement(
                name: "clean_up_actions",
                sql: """
                    WITH removed AS (
                        DELETE FROM rate_limit_actions WHERE ctid = ANY (ARRAY(
                            SELECT ctid FROM rate_limit_actions WHERE created_at < $1::timestamptz LIMIT $2::int8
                            FOR UPDATE SKIP LOCKED))
                        RETURNING true
                    )
                    SELECT count(*) FROM removed
                    """,
                parameters: [PostgresValue.timestamp(before), PostgresValue.int8(Int64(limit))]))
        return rows.integer(0, 0, as: Int64.self).map { Int($0) } ?? 0
    }
}
