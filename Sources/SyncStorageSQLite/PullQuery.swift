import GRDB
import NIOCore
import SyncProtocol
import SyncStorage

/// The place of an entry in the order of a pull: cursor, then the bytes of its id (docs/contract/storage.md §6.3). A member
/// has its chain number for an id.
struct PullKey: Comparable, Sendable {
    var cursor: Int64
    var bits: UInt128

    static func < (left: PullKey, right: PullKey) -> Bool {
        left.cursor != right.cursor ? left.cursor < right.cursor : left.bits < right.bits
    }

    init(cursor: Int64, bits: UInt128) {
        self.cursor = cursor
        self.bits = bits
    }

    /// Behind everything with this cursor.
    init(behind cursor: Int64) { self.init(cursor: cursor, bits: .max) }
}

/// How far each of the three tables has been read.
struct PullPosition: Sendable {
    /// The last entry taken from each table; `nil`: the table has no more.
    fileprivate var taken: [PullTable: PullKey]
    /// Payload of the page before, as a guess of the next one's.
    fileprivate var pageBytes = 16_384

    init(after cursor: Int64) {
        self.taken = Dictionary(uniqueKeysWithValues: PullTable.allCases.map { ($0, PullKey(behind: cursor)) })
    }

    var isAtEnd: Bool { self.taken.isEmpty }
}

enum PullTable: CaseIterable, Sendable {
    case records
    case members
    case files

    /// Continues behind a key, in the order of an index, so that nothing is sorted (architecture R6).
    func sql(showsDeleted: Bool) -> String {
        let visible = showsDeleted ? "" : " AND deleted = 0"
        return switch self {
        case .records:
            """
            SELECT cursor, id, deleted, wrapped_dek, blob FROM records
            WHERE space_id = ?1 AND (cursor, id) > (?2, ?3)\(visible) ORDER BY cursor, id
            """
        case .members:
            """
            SELECT cursor, chain_seq, prev_hash, entry_hash, payload FROM members
            WHERE space_id = ?1 AND (cursor, chain_seq) > (?2, ?3) ORDER BY cursor, chain_seq
            """
        case .files:
            """
            SELECT cursor, id, deleted, wrapped_dek, record_id, size FROM files
            WHERE space_id = ?1 AND (cursor, id) > (?2, ?3)\(visible) ORDER BY cursor, id
            """
        }
    }
}

/// Reads pages: merges the three tables, each in the order of its index.
struct PullQuery: Sendable {
    let space: SpaceID
    /// False for a client that has nothing yet, and so nothing to delete.
    let showsDeleted: Bool

    /// The entries behind `position`, and the position behind them.
    func page(from position: PullPosition, on db: Database) throws(StorageError) -> ([PullEntry], PullPosition) {
        var sources: [Source] = []
        defer { for source in sources { source.row.reset() } }
        for (table, key) in position.taken {
            let sql = table.sql(showsDeleted: self.showsDeleted)
            var source = Source(table: table, row: try SQLiteStatement(db, sql, action: "read a page of a pull"))
            try source.start(self.space, behind: key)
            sources.append(source)
        }

        var next = position
        var page = PageBuilder(capacity: position.pageBytes)
        while page.count < Limits.pullBufferedEntriesMax, page.bytes < Limits.pullPageBytesMax {
            guard let nearest = self.nearest(sources), let key = sources[nearest].key else { break }
            try page.append(sources[nearest])
            next.taken[sources[nearest].table] = key
            try sources[nearest].advance()
        }
        for source in sources where source.key == nil { next.taken[source.table] = nil }
        next.pageBytes = max(page.bytes, 1_024)
        return (try page.entries(), next)
    }

    private func nearest(_ sources: [Source]) -> Int? {
        var nearest: (index: Int, key: PullKey)?
        for (index, source) in sources.enumerated() {
            guard let key = source.key else { continue }
            if let found = nearest, found.key < key { continue }
            nearest = (index, key)
        }
        return nearest?.index
    }
}

/// One table in the middle of being read.
private struct Source {
    let table: PullTable
    let row: SQLiteStatement
    /// Of the current row; `nil` behind the last.
    private(set) var key: PullKey?

    init(table: PullTable, row: SQLiteStatement) {
        self.table = table
        self.row = row
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
        switch self.table {
        case .members: self.key = PullKey(cursor: self.row.int64(0), bits: UInt128(clamping: self.row.int64(1)))
        case .records, .files:
            let id: RecordID = try self.row.id(1)
            self.key = PullKey(cursor: self.row.int64(0), bits: id.bits)
        }
    }
}

/// Collects the entries of a page with one buffer for all their bytes: what is handed out are slices of it.
private struct PageBuilder {
    /// An entry whose bytes are still to be cut off the buffer, in the order in which they were written.
    private enum Draft {
        case record(RecordID, cursor: Int64, deleted: Bool, dek: Int?, blob: Int?)
        case member(chainSequence: Int32, cursor: Int64, previousHash: Int, entryHash: Int, payload: Int)
        case file(FileID, cursor: Int64, deleted: Bool, dek: Int, record: RecordID, size: Int64)
    }

    private var drafts: [Draft] = []
    private var buffer: ByteBuffer

    init(capacity: Int) {
        self.buffer = ByteBufferAllocator().buffer(capacity: capacity)
        self.drafts.reserveCapacity(Limits.pullBufferedEntriesMax)
    }

    var count: Int { self.drafts.count }
    var bytes: Int { self.buffer.writerIndex }

    mutating func append(_ source: Source) throws(StorageError) {
        let row = source.row
        let cursor = row.int64(0)
        switch source.table {
        case .records:
            self.drafts.append(
                .record(
                    try row.id(1), cursor: cursor, deleted: row.int64(2) != 0, dek: self.copy(row.bytes(3)),
                    blob: self.copy(row.bytes(4))))
        case .members:
            self.drafts.append(
                .member(
                    chainSequence: try row.int32(1), cursor: cursor, previousHash: self.copy(row.bytes(2)) ?? 0,
                    entryHash: self.copy(row.bytes(3)) ?? 0, payload: self.copy(row.bytes(4)) ?? 0))
        case .files:
            self.drafts.append(
                .file(
                    try row.id(1), cursor: cursor, deleted: row.int64(2) != 0, dek: self.copy(row.bytes(3)) ?? 0,
                    record: try row.id(4), size: row.int64(5)))
        }
    }

    private mutating func copy(_ bytes: UnsafeRawBufferPointer?) -> Int? {
        bytes.map { self.buffer.writeBytes($0) }
    }

    consuming func entries() throws(StorageError) -> [PullEntry] {
        var rest = self.buffer
        func cut(_ length: Int) throws(StorageError) -> ByteBuffer {
            guard let slice = rest.readSlice(length: length) else {
                throw .database(detail: "cannot read a page of a pull: its buffer is too short")
            }
            return slice
        }
        var entries: [PullEntry] = []
        entries.reserveCapacity(self.drafts.count)
        for draft in self.drafts {
            switch draft {
            case .record(let id, let cursor, let deleted, let dek, let blob):
                let wrappedDEK = try dek.map { length throws(StorageError) in try cut(length) }
                let blob = try blob.map { length throws(StorageError) in try cut(length) }
                entries.append(
                    .record(
                        PulledRecord(id: id, blob: blob, cursor: cursor, wrappedDEK: wrappedDEK, deleted: deleted)))
            case .member(let chainSequence, let cursor, let previousHash, let entryHash, let payload):
                entries.append(
                    .member(
                        PulledMember(
                            chainSequence: chainSequence, cursor: cursor, previousHash: try cut(previousHash),
                            entryHash: try cut(entryHash), payload: try cut(payload))))
            case .file(let id, let cursor, let deleted, let dek, let record, let size):
                entries.append(
                    .file(
                        PulledFile(
                            id: id, recordID: record, size: size, wrappedDEK: try cut(dek), cursor: cursor,
                            deleted: deleted)))
            }
        }
        return entries
    }
}
