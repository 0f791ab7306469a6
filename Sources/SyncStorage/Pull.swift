package import NIOCore
package import SyncProtocol

/// The space as the snapshot of a pull sees it (docs/contract/storage.md §6.3).
package struct PullMeta: Hashable, Sendable {
    package var cursor: Int64
    package var keyGeneration: Int32
    package var rewrapEpoch: Int32?

    package init(cursor: Int64, keyGeneration: Int32, rewrapEpoch: Int32? = nil) {
        self.cursor = cursor
        self.keyGeneration = keyGeneration
        self.rewrapEpoch = rewrapEpoch
    }
}

package enum PullEntry: Hashable, Sendable {
    case record(PulledRecord)
    case member(PulledMember)
    case file(PulledFile)

    package var cursor: Int64 {
        switch self {
        case .record(let record): record.cursor
        case .member(let member): member.cursor
        case .file(let file): file.cursor
        }
    }
}

package struct PulledRecord: Hashable, Sendable {
    package var id: RecordID
    /// `nil` on a tombstone only.
    package var blob: ByteBuffer?
    package var cursor: Int64
    package var wrappedDEK: ByteBuffer?
    package var deleted: Bool

    package init(id: RecordID, blob: ByteBuffer?, cursor: Int64, wrappedDEK: ByteBuffer?, deleted: Bool) {
        self.id = id
        self.blob = blob
        self.cursor = cursor
        self.wrappedDEK = wrappedDEK
        self.deleted = deleted
    }
}

package struct PulledMember: Hashable, Sendable {
    package var chainSequence: Int32
    package var cursor: Int64
    /// Empty on the first entry.
    package var previousHash: ByteBuffer
    package var entryHash: ByteBuffer
    package var payload: ByteBuffer

    package init(
        chainSequence: Int32, cursor: Int64, previousHash: ByteBuffer, entryHash: ByteBuffer, payload: ByteBuffer
    ) {
        self.chainSequence = chainSequence
        self.cursor = cursor
        self.previousHash = previousHash
        self.entryHash = entryHash
        self.payload = payload
    }
}

package struct PulledFile: Hashable, Sendable {
    package var id: FileID
    package var recordID: RecordID
    /// Bytes of the stored object.
    package var size: Int64
    package var wrappedDEK: ByteBuffer
    package var cursor: Int64
    package var deleted: Bool

    package init(
        id: FileID, recordID: RecordID, size: Int64, wrappedDEK: ByteBuffer, cursor: Int64, deleted: Bool
    ) {
        self.id = id
        self.recordID = recordID
        self.size = size
        self.wrappedDEK = wrappedDEK
        self.cursor = cursor
        self.deleted = deleted
    }
}

/// What a snapshot fills with entries, in pull order.
package protocol PullPage: Sendable {
    /// Adds a record.
    ///
    /// - Parameter blob: `nil` on a tombstone only.
    mutating func append(record id: RecordID, cursor: Int64, deleted: Bool, wrappedDEK: RawSpan?, blob: RawSpan?)

    /// Adds an entry that is no record.
    mutating func append(_ entry: PullEntry)
}

/// How much there is in a page, for its bounds.
package struct PullPageSize: Sendable {
    private var entries = 0
    private var bytes = 0

    package init() {}

    package var isEmpty: Bool { self.entries == 0 }

    package var isFull: Bool {
        self.entries >= Limits.pullPageEntriesMax || self.bytes >= Limits.pullPageBytesMax
    }

    /// Counts one entry.
    ///
    /// - Parameter bytes: Of its blob, DEK or payload.
    package mutating func add(bytes: Int) {
        self.entries += 1
        self.bytes += bytes
    }
}

/// One open snapshot of one space. Used by one task at a time.
package protocol PullSnapshot: Sendable {
    var meta: PullMeta { get }

    /// A page with the next entries in pull order (cursor, then id), at least one, at most `Limits.pullPageEntriesMax` and about
    /// `Limits.pullPageBytesMax` bytes; `nil` at the end. Every cursor is at most `meta.cursor`.
    ///
    /// - Parameter makePage: Makes the empty page. The bytes of records are copied into it straight from the database.
    /// - Throws: `.unavailable` or `.database`; the snapshot is then over.
    func nextPage<Page: PullPage>(_ makePage: @escaping @Sendable () -> Page) async throws(StorageError) -> Page?
}

extension PullSnapshot {
    /// The entries of the next page.
    package func nextPage() async throws(StorageError) -> [PullEntry]? { try await self.nextPage { [] } }
}

extension [PullEntry]: PullPage {
    package mutating func append(
        record id: RecordID, cursor: Int64, deleted: Bool, wrappedDEK: RawSpan?, blob: RawSpan?
    ) {
        self.append(
            .record(
                PulledRecord(
                    id: id, blob: ByteBuffer(copying: blob), cursor: cursor,
                    wrappedDEK: ByteBuffer(copying: wrappedDEK), deleted: deleted)))
    }
}

extension ByteBuffer {
    /// `nil` for no bytes at all, as a null of the database.
    package init?(copying bytes: RawSpan?) {
        guard let bytes else { return nil }
        self.init()
        self.writeBytes(bytes)
    }
}
