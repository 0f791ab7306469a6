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

/// One open snapshot of one space. Used by one task at a time.
package protocol PullSnapshot: Sendable {
    var meta: PullMeta { get }

    /// The next entries in pull order (cursor, then id), at least one, at most `Limits.pullBufferedEntriesMax` and about
    /// `Limits.pullPageBytesMax` bytes; `nil` at the end. Every cursor is at most `meta.cursor`.
    ///
    /// - Throws: `.unavailable` or `.database`; the snapshot is then over.
    func nextPage() async throws(StorageError) -> [PullEntry]?
}
