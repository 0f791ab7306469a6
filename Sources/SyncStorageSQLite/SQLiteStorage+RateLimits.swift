import GRDB
package import SyncStorage

extension SQLiteStorage {
    package func countRecentActions(
        _ action: String, by actor: String, since: Int64
    ) async throws(StorageError) -> Int {
        try await self.readers.query(while: "count actions") { db in
            try RateLimitQuery(db).count(action, by: actor, since: since)
        }
    }

    package func recordAction(_ action: String, by actor: String) async throws(StorageError) {
        try await self.write { transaction throws(StorageError) in
            try RateLimitQuery(transaction.db).insert(action, by: actor, at: transaction.now)
        }
    }

    package func cleanUpActions(before: Int64, limit: Int) async throws(StorageError) -> Int {
        try await self.write { transaction throws(StorageError) in
            .success(try RateLimitQuery(transaction.db).purge(before: before, limit: limit))
        }
    }
}

/// Reads and writes rows of `rate_limit_actions`.
private struct RateLimitQuery {
    private let db: Database

    init(_ db: Database) { self.db = db }

    func count(_ action: String, by actor: String, since: Int64) throws(StorageError) -> Int {
        let row = try SQLiteStatement(
            self.db,
            "SELECT count(*) FROM rate_limit_actions WHERE action = ?1 AND actor_hash = ?2 AND created_at > ?3",
            action: "count actions")
        defer { row.reset() }
        try row.bind(action, at: 1)
        try row.bind(actor, at: 2)
        try row.bind(since, at: 3)
        guard try row.step() else { return 0 }
        return Int(row.int64(0))
    }

    func insert(
        _ action: String, by actor: String, at now: Int64
    ) throws(StorageError) -> Result<Void, StorageError> {
        // A value that the schema refuses must not undo what others write.
        guard action.unicodeScalars.count <= StorageLimits.actionCharactersMax,
            actor.unicodeScalars.count <= StorageLimits.hashCharactersMax
        else {
            return .failure(.database(detail: "cannot record an action: its name or actor is too long"))
        }
        let row = try SQLiteStatement(
            self.db, "INSERT INTO rate_limit_actions (action, actor_hash, created_at) VALUES (?1, ?2, ?3)",
            action: "record an action")
        try row.bind(action, at: 1)
        try row.bind(actor, at: 2)
        try row.bind(now, at: 3)
        try row.run()
        return .success(())
    }

    func purge(before: Int64, limit: Int) throws(StorageError) -> Int {
        let row = try SQLiteStatement(
            self.db,
            """
            DELETE FROM rate_limit_actions WHERE rowid IN (
                SELECT rowid FROM rate_limit_actions WHERE created_at < ?1 LIMIT ?2)
            """, action: "purge actions")
        try row.bind(before, at: 1)
        try row.bind(Int64(limit), at: 2)
        try row.run()
        return row.changes
    }
}
