package import SyncProtocol
package import SyncStorage

extension PostgresStorage {
    package func revoke(_ cid: String, in space: SpaceID) async throws(StorageError) {
        _ = try await self.run(
            PostgresStatement(
                name: "revoke",
                sql: """
                    INSERT INTO revocations (space_id, ucan_cid) VALUES ($1::uuid, $2::text)
                    ON CONFLICT (space_id, ucan_cid) DO NOTHING
                    """,
                parameters: [PostgresValue.id(space), PostgresValue.text(cid)]))
    }

    package func isAnyRevoked(of cids: [String], in space: SpaceID) async throws(StorageError) -> Bool {
        guard !cids.isEmpty else { return false }
        let rows = try await self.run(
            PostgresStatement(
                name: "is_any_revoked",
                sql: """
                    SELECT EXISTS (SELECT FROM revocations WHERE space_id = $1::uuid AND ucan_cid = ANY ($2::text[]))
                    """,
                parameters: [PostgresValue.id(space), PostgresValue.texts(cids)]))
        guard let isRevoked = rows.bool(0, 0) else { throw .database(detail: "unexpected types in revocations") }
        return isRevoked
    }
}
