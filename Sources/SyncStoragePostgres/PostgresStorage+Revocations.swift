package import SyncProtocol
package import SyncStorage

extension PostgresStorage {
    package func revoke(_ cid: String, in space: SpaceID) async throws(StorageError) {
        // The other processes hear of it with the commit, unlike of writes, which are many: none is left out and none is
        // told what was written later before it.
        // A longer one has no place in the index, and is no token's: of that only so much is kept.
        let storedCID = String(decoding: cid.utf8.prefix(RevocationAnnouncement.cidBytesMax), as: UTF8.self)
        let announcement = RevocationAnnouncement(origin: self.feed.origin, space: space, cid: cid)
        _ = try await self.run(
            PostgresStatement(
                name: "revoke",
                sql: """
                    WITH revoked AS (
                        INSERT INTO revocations (space_id, ucan_cid) VALUES ($1::uuid, $2::text)
                        ON CONFLICT (space_id, ucan_cid) DO NOTHING
                    )
                    SELECT pg_notify(\(PostgresChangeFeed.channelExpression), $3::text)
                    """,
                parameters: [
                    PostgresValue.id(space), PostgresValue.name(storedCID), PostgresValue.text(announcement.payload),
                ]))
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
