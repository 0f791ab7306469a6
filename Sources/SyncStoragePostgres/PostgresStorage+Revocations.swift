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

    package func access(to space: SpaceID, with cids: [String]) async throws(StorageError) -> SpaceAccess {
        let rows = try await self.run(
            PostgresStatement(
                name: "access",
                sql: """
                    SELECT \(Self.spaceColumns),
                        EXISTS (SELECT FROM revocations WHERE space_id = $1::uuid AND ucan_cid = ANY ($2::text[]))
                    FROM spaces WHERE id = $1::uuid
                    """,
                parameters: [PostgresValue.id(space), PostgresValue.texts(cids)]))
        guard let found = try Self.spaces(rows).first else { throw .spaceNotFound }
        guard let isAnyRevoked = rows.bool(0, Self.spaceColumnCount) else {
            throw .database(detail: "unexpected types in revocations")
        }
        return SpaceAccess(space: found, isAnyRevoked: isAnyRevoked)
    }
}
