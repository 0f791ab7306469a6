import FoundationEssentials
import GRDB
import NIOCore
import SyncProtocol
import SyncStorage

/// A new row of `spaces`.
struct NewSpace: Sendable {
    var id: SpaceID
    var clientID: String
    var rootPublicKey: ByteBuffer?
    /// Whether a space that exists is returned as it is, rather than refused.
    var mayExist: Bool
}

/// The writes of one transaction. A write that is refused or conflicts leaves no trace, so that the others can go on; one
/// that throws may, and then the transaction must be rolled back.
struct WriteTransaction {
    private struct KnownSpace {
        var space: Space
        var isChanged = false
    }

    private let statements: Statements
    private let now: Int64
    /// Spaces read or created so far. Cursors are written once, at the end.
    private var known: [SpaceID: KnownSpace] = [:]

    init(_ db: Database, now: Date) throws(StorageError) {
        self.statements = try Statements(db)
        self.now = now.microseconds
    }

    /// docs/contract/storage.md §6.2 from step 5 on.
    ///
    /// - Throws: What says nothing about the push itself: the database failed.
    mutating func push(_ push: Push) throws(StorageError) -> Result<PushOutcome, StorageError> {
        let existing = try self.space(push.space)
        guard let space = existing ?? push.creator.map({ Space(id: push.space, clientID: $0) }) else {
            return .failure(.spaceNotFound)
        }
        let changes = push.changes.changes
        if push.keyGeneration > 0, space.rootPublicKey != nil, push.keyGeneration < space.minKeyGeneration,
            !changes.isEmpty
        {
            return .failure(.keyGenerationStale)
        }
        if existing == nil {
            // Nothing may be written on a conflict, and in a space that is not there every expected cursor is one.
            guard changes.allSatisfy({ $0.expectedCursor == 0 }) else { return .success(.conflict) }
            try self.insert(space)
        }
        return .success(try self.write(changes, to: space))
    }

    private mutating func write(_ changes: [RecordChange], to space: Space) throws(StorageError) -> PushOutcome {
        guard !changes.isEmpty else { return .accepted(PushReceipt(of: space)) }
        let (cursor, overflow) = space.cursor.addingReportingOverflow(1)
        guard !overflow else { throw .database(detail: "cannot push: the cursor of the space is at its end") }

        // One change is its own check: its statement does nothing on a conflict. Of several none may be written if one
        // conflicts, so they are looked at first.
        if changes.count > 1 {
            for change in changes {
                guard try self.statements.matches(change, in: space.id) else { return .conflict }
            }
        }
        for change in changes {
            guard try self.statements.write(change, at: cursor, in: space.id) else {
                guard changes.count > 1 else { return .conflict }
                throw .database(detail: "cannot push: a record changed inside the transaction")
            }
        }

        var after = space
        after.cursor = cursor
        self.known[space.id] = KnownSpace(space: after, isChanged: true)
        var receipt = PushReceipt(of: after)
        for change in changes where change.blob == nil && change.expectedCursor != 0 {
            receipt.removedFiles += try self.statements.removeFiles(of: change.id, in: space.id)
        }
        return .accepted(receipt)
    }

    mutating func create(_ new: NewSpace) throws(StorageError) -> Result<Space, StorageError> {
        if let space = try self.space(new.id) { return new.mayExist ? .success(space) : .failure(.spaceExists) }
        let space = Space(id: new.id, clientID: new.clientID, rootPublicKey: new.rootPublicKey)
        try self.insert(space)
        return .success(space)
    }

    /// The last thing before the commit.
    func storeCursors() throws(StorageError) {
        for known in self.known.values where known.isChanged {
            try self.statements.storeCursor(known.space.cursor, of: known.space.id, now: self.now)
        }
    }

    private mutating func space(_ id: SpaceID) throws(StorageError) -> Space? {
        if let known = self.known[id] { return known.space }
        guard let space = try self.statements.space(id) else { return nil }
        self.known[id] = KnownSpace(space: space)
        return space
    }

    private mutating func insert(_ space: Space) throws(StorageError) {
        try self.statements.insert(space, now: self.now)
        self.known[space.id] = KnownSpace(space: space)
    }
}

extension PushReceipt {
    fileprivate init(of space: Space) {
        self.init(cursor: space.cursor, keyGeneration: space.keyGeneration, rewrapEpoch: space.rewrapEpoch)
    }
}

/// What a write transaction runs, each prepared once per connection.
private struct Statements {
    private let selectSpace: SpaceQuery
    private let insertSpace, updateCursor, recordCursor, insertRecord, updateRecord, deleteFiles: SQLiteStatement

    init(_ db: Database) throws(StorageError) {
        self.selectSpace = try SpaceQuery(db)
        self.insertSpace = try SQLiteStatement(
            db,
            """
            INSERT INTO spaces (id, client_id, root_public_key, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4)
            """, action: "insert a space")
        self.updateCursor = try SQLiteStatement(
            db, "UPDATE spaces SET cursor = ?2, updated_at = ?3 WHERE id = ?1", action: "store a cursor")
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

    func storeCursor(_ cursor: Int64, of space: SpaceID, now: Int64) throws(StorageError) {
        try self.updateCursor.bind(space, at: 1)
        try self.updateCursor.bind(cursor, at: 2)
        try self.updateCursor.bind(now, at: 3)
        try self.updateCursor.run()
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
