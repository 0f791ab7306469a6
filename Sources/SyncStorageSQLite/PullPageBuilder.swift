import NIOCore
import SyncProtocol
import SyncStorage

/// Collects the entries of a page with one buffer for all their bytes: what is handed out are slices of it.
struct PullPageBuilder {
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

    var bytes: Int { self.buffer.writerIndex }

    var isFull: Bool {
        self.drafts.count >= Limits.pullBufferedEntriesMax || self.bytes >= Limits.pullPageBytesMax
    }

    /// Takes the current row of `source`.
    mutating func append(_ source: borrowing PullSource) throws(StorageError) {
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

    func entries() throws(StorageError) -> [PullEntry] {
        var entries: [PullEntry] = []
        entries.reserveCapacity(self.drafts.count)
        var cutter = Cutter(rest: self.buffer)
        for draft in self.drafts {
            switch draft {
            case .record(let id, let cursor, let deleted, let dek, let blob):
                let wrappedDEK = try cutter.cut(dek)
                let blob = try cutter.cut(blob)
                entries.append(
                    .record(
                        PulledRecord(id: id, blob: blob, cursor: cursor, wrappedDEK: wrappedDEK, deleted: deleted)))
            case .member(let chainSequence, let cursor, let previousHash, let entryHash, let payload):
                entries.append(
                    .member(
                        PulledMember(
                            chainSequence: chainSequence, cursor: cursor, previousHash: try cutter.cut(previousHash),
                            entryHash: try cutter.cut(entryHash), payload: try cutter.cut(payload))))
            case .file(let id, let cursor, let deleted, let dek, let record, let size):
                entries.append(
                    .file(
                        PulledFile(
                            id: id, recordID: record, size: size, wrappedDEK: try cutter.cut(dek), cursor: cursor,
                            deleted: deleted)))
            }
        }
        return entries
    }

    /// Cuts slices off the front of a buffer.
    private struct Cutter {
        var rest: ByteBuffer

        mutating func cut(_ length: Int) throws(StorageError) -> ByteBuffer {
            guard let slice = self.rest.readSlice(length: length) else {
                throw .database(detail: "cannot read a page of a pull: its buffer is too short")
            }
            return slice
        }

        mutating func cut(_ length: Int?) throws(StorageError) -> ByteBuffer? {
            guard let length else { return nil }
            return try self.cut(length) as ByteBuffer
        }
    }
}
