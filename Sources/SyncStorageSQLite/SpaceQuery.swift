import GRDB
import SyncProtocol
import SyncStorage

/// Reads rows of `spaces` by id.
struct SpaceQuery {
    private let statement: SQLiteStatement

    init(_ db: Database) throws(StorageError) {
        self.statement = try SQLiteStatement(
            db,
            """
            SELECT client_id, root_public_key, key_generation, min_key_generation, metadata_version, cursor,
                rewrap_epoch, home_server
            FROM spaces WHERE id = ?1
            """, action: "read a space")
    }

    func first(_ id: SpaceID) throws(StorageError) -> Space? {
        let row = self.statement
        defer { row.reset() }
        try row.bind(id, at: 1)
        guard try row.step() else { return nil }
        return Space(
            id: id, clientID: row.text(0), rootPublicKey: row.buffer(1), keyGeneration: try row.int32(2),
            minKeyGeneration: try row.int32(3), metadataVersion: try row.int32(4), cursor: row.int64(5),
            rewrapEpoch: row.isNull(6) ? nil : try row.int32(6), homeServer: row.isNull(7) ? nil : row.text(7))
    }
}
