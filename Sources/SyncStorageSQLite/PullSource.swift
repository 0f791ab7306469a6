import GRDB
import NIOCore
import SyncProtocol
import SyncStorage

enum PullTable: CaseIterable, Sendable {
    case records
    case members
    case files

    /// Continues behind a key, in the order of an index, so that nothing is sorted (architecture R6).
    func sql(showsDeleted: Bool) -> String {
        switch (self, showsDeleted) {
        case (.records, true): Self.allRecords
        case (.records, false): Self.liveRecords
        case (.members, _): Self.allMembers
        case (.files, true): Self.allFiles
        case (.files, false): Self.liveFiles
        }
    }

    private static let allRecords = """
        SELECT cursor, id, deleted, wrapped_dek, blob FROM records
        WHERE space_id = ?1 AND (cursor, id) > (?2, ?3) ORDER BY cursor, id
        """
    private static let liveRecords = """
        SELECT cursor, id, deleted, wrapped_dek, blob FROM records
        WHERE space_id = ?1 AND (cursor, id) > (?2, ?3) AND deleted = 0 ORDER BY cursor, id
        """
    private static let allMembers = """
        SELECT cursor, chain_seq, prev_hash, entry_hash, payload FROM members
        WHERE space_id = ?1 AND (cursor, chain_seq) > (?2, ?3) ORDER BY cursor, chain_seq
        """
    private static let allFiles = """
        SELECT cursor, id, deleted, wrapped_dek, record_id, size FROM files
        WHERE space_id = ?1 AND (cursor, id) > (?2, ?3) ORDER BY cursor, id
        """
    private static let liveFiles = """
        SELECT cursor, id, deleted, wrapped_dek, record_id, size FROM files
        WHERE space_id = ?1 AND (cursor, id) > (?2, ?3) AND deleted = 0 ORDER BY cursor, id
        """
}

/// One table in the middle of being read by a pull.
struct PullSource {
    let table: PullTable
    let row: SQLiteStatement
    /// Of the current row; `nil` behind the last.
    private(set) var key: PullKey?

    init(_ table: PullTable, on db: Database, showsDeleted: Bool) throws(StorageError) {
        self.table = table
        self.row = try SQLiteStatement(db, table.sql(showsDeleted: showsDeleted), action: "read a page of a pull")
    }

    mutating func start(_ space: SpaceID, behind key: PullKey) throws(StorageError) {
        try self.row.bind(space, at: 1)
        try self.row.bind(key.cursor, at: 2)
        switch self.table {
        case .members: try self.row.bind(Int64(clamping: key.bits), at: 3)
        case .records, .files: try self.row.bind(RecordID(bits: key.bits), at: 3)
        }
        try self.advance()
    }

    mutating func advance() throws(StorageError) {
        guard try self.row.step() else {
            self.key = nil
            return
        }
        let bits =
            switch self.table {
            case .members: UInt128(clamping: self.row.int64(1))
            case .records, .files: try self.row.idBits(1)
            }
        self.key = PullKey(cursor: self.row.int64(0), bits: bits)
    }

    /// Adds the current row to a page.
    ///
    /// - Returns: Bytes of what is long in it.
    func append(to page: inout some PullPage) throws(StorageError) -> Int {
        let row = self.row
        let cursor = row.int64(0)
        switch self.table {
        case .records:
            let (dek, blob) = (row.bytes(3), row.bytes(4))
            page.append(
                record: try row.id(1), cursor: cursor, deleted: row.int64(2) != 0, wrappedDEK: dek?.bytes,
                blob: blob?.bytes)
            return (dek?.count ?? 0) + (blob?.count ?? 0)
        case .members:
            let member = PulledMember(
                chainSequence: try row.int32(1), cursor: cursor, previousHash: row.buffer(2) ?? ByteBuffer(),
                entryHash: row.buffer(3) ?? ByteBuffer(), payload: row.buffer(4) ?? ByteBuffer())
            page.append(.member(member))
            return member.payload.readableBytes
        case .files:
            let file = PulledFile(
                id: try row.id(1), recordID: try row.id(4), size: row.int64(5),
                wrappedDEK: row.buffer(3) ?? ByteBuffer(),
                cursor: cursor, deleted: row.int64(2) != 0)
            page.append(.file(file))
            return file.wrappedDEK.readableBytes
        }
    }

    /// Whether there is a row, and it comes before `limit`.
    func isBefore(_ limit: PullKey?) -> Bool {
        guard let key = self.key else { return false }
        guard let limit else { return true }
        return key < limit
    }
}
