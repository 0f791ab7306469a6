import GRDB
import NIOCore
import SyncProtocol
import SyncStorage

/// What a write transaction runs, each prepared once per connection.
struct WriteStatements {
    private let selectSpace: SpaceQuery
    private let insertSpace, updateSpace, recordCursor, insertRecord, updateRecord, deleteFiles: SQLiteStatement

    init(_ db: Database) throws(StorageError) {
        self.selectSpace = try SpaceQuery(db)
        self.insertSpace = try SQLiteStatement(
            db,
            """
            INSERT INTO spaces (id, client_id, root_public_key, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4)
            """, action: "insert a space")
        self.updateSpace = try SQLiteStatement(
            db,
            """
            UPDATE spaces SET cursor = ?2, metadata_version = ?3, key_generation = ?4, min_key_generation = ?5,
                rewrap_epoch = ?6, updated_at = ?7
            WHERE id = ?1
            """, action: "store the state of a space")
        self.recordCursor = try SQLiteStatement(
            db, "SELECT cursor FROM records WHERE space_id = ?1 AND id = ?2", action: "look for a record")
        self.insertRecord = try SQLiteStatement(
            db,
            """
            INSERT INTO records (space_id, id, cursor, deleted, wrapped_dek, blob) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
            ON CONFLICT (space_id, id) DO NOTHING
            """, action: "insert a record")
        self.updateRecord = try SQLiteStatement(
            db,
            """
            UPDATE records SET cursor = ?3, deleted = ?4, wrapped_dek = ?5, blob = ?6
            WHERE space_id = ?1 AND id = ?2 AND cursor = ?7
            """, action: "update a record")
        self.deleteFiles = try SQLiteStatement(
            db, "DELETE FROM files WHERE space_id = ?1 AND record_id = ?2 RETURNING id", action: "delete file rows")
    }

    func space(_ id: SpaceID) throws(StorageError) -> Space? { try self.selectSpace.first(id) }

    func insert(_ space: Space, now: Int64) throws(StorageError) {
        try self.insertSpace.bind(space.id, at: 1)
        try self.insertSpace.bind(space.clientID, at: 2)
        try self.insertSpace.bind(copying: space.rootPublicKey, at: 3)
        try self.insertSpace.bind(now, at: 4)
        try self.insertSpace.run()
    }

    /// What writes in a space change of its row.
    func store(_ space: Space, now: Int64) throws(StorageError) {
        try self.updateSpace.bind(space.id, at: 1)
        try self.updateSpace.bind(space.cursor, at: 2)
        try self.updateSpace.bind(Int64(space.metadataVersion), at: 3)
        try self.updateSpace.bind(Int64(space.keyGeneration), at: 4)
        try self.updateSpace.bind(Int64(space.minKeyGeneration), at: 5)
        try self.updateSpace.bind(space.rewrapEpoch.map { Int64($0) }, at: 6)
        try self.updateSpace.bind(now, at: 7)
        try self.updateSpace.run()
    }

    /// Whether the record is as the change expects it (docs/contract/storage.md §6.2, conflict rule).
    func matches(_ change: RecordChange, in space: SpaceID) throws(StorageError) -> Bool {
        defer { self.recordCursor.reset() }
        try self.recordCursor.bind(space, at: 1)
        try self.recordCursor.bind(change.id, at: 2)
        guard try self.recordCursor.step() else { return change.expectedCursor == 0 }
        return change.expectedCursor != 0 && change.expectedCursor == self.recordCursor.int64(0)
    }

    /// Writes one record if it is as expected, and else nothing.
    ///
    /// - Returns: Whether it was written.
    func write(_ change: RecordChange, at cursor: Int64, in space: SpaceID) throws(StorageError) -> Bool {
        let isNew = change.expectedCursor == 0
        let statement = isNew ? self.insertRecord : self.updateRecord
        try statement.bind(space, at: 1)
        try statement.bind(change.id, at: 2)
        try statement.bind(cursor, at: 3)
        try statement.bind(change.blob == nil ? 1 : 0, at: 4)
        if !isNew { try statement.bind(change.expectedCursor, at: 7) }
        // A tombstone keeps no key material (Δ-S3).
        let wrappedDEK = change.blob == nil ? nil : change.wrappedDEK
        let result = withOptionalBytes(of: wrappedDEK) { dek in
            withOptionalBytes(of: change.blob) { blob in
                Result { () throws(StorageError) in
                    defer { statement.clearBindings() }
                    try statement.bind(borrowing: dek, at: 5)
                    try statement.bind(borrowing: blob, at: 6)
                    try statement.run()
                }
            }
        }
        try result.get()
        return statement.changes == 1
    }

    func removeFiles(of record: RecordID, in space: SpaceID) throws(StorageError) -> [FileID] {
        defer { self.deleteFiles.reset() }
        try self.deleteFiles.bind(space, at: 1)
        try self.deleteFiles.bind(record, at: 2)
        var removed: [FileID] = []
        while try self.deleteFiles.step() { removed.append(try self.deleteFiles.id(0)) }
        return removed
    }
}
