import GRDB
package import SyncProtocol
package import SyncStorage

extension SQLiteStorage {
    package func revoke(_ cid: String, in space: SpaceID) async throws(StorageError) {
        try await self.write(bytes: cid.utf8.count) { transaction throws(StorageError) in
            try transaction.revoke(cid, in: space)
        }
    }

    package func access(to space: SpaceID, with cids: [String]) async throws(StorageError) -> SpaceAccess {
        let access = try await self.readers.query(while: "look for revocations") { db -> SpaceAccess? in
            guard let found = try SpaceQuery(db).first(space) else { return nil }
            var access = SpaceAccess(space: found, isAnyRevoked: false)
            guard !cids.isEmpty else { return access }
            let row = try SQLiteStatement(
                db, "SELECT 1 FROM revocations WHERE space_id = ?1 AND ucan_cid = ?2", action: "look for revocations")
            for cid in cids where !access.isAnyRevoked {
                defer { row.reset() }
                try row.bind(space, at: 1)
                try row.bind(cid, at: 2)
                access.isAnyRevoked = try row.step()
            }
            return access
        }
        guard let access else { throw .spaceNotFound }
        return access
    }
}

extension WriteTransaction {
    fileprivate mutating func revoke(
        _ cid: String, in space: SpaceID
    ) throws(StorageError) -> Result<Void, StorageError> {
        // Asked for, because a broken foreign key would undo what others write.
        guard try self.space(space) != nil else {
            return .failure(.database(detail: "cannot insert a revocation: there is no such space"))
        }
        let row = try SQLiteStatement(
            self.db, "INSERT INTO revocations (space_id, ucan_cid) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            action: "insert a revocation")
        try row.bind(space, at: 1)
        try row.bind(cid, at: 2)
        try row.run()
        return .success(())
    }
}
