package import NIOCore
package import SyncProtocol

/// One record of a push that has passed the checks of docs/contract/storage.md §6.2 step 3.
package struct RecordChange: Hashable, Sendable {
    package var id: RecordID
    /// `nil` deletes the record; zero bytes are a live, empty blob.
    package var blob: ByteBuffer?
    /// 0: the record must not exist. Else: the cursor it must have.
    package var expectedCursor: Int64
    /// Stored as given on a live record, dropped on a tombstone (Δ-S3).
    package var wrappedDEK: ByteBuffer?

    package init(id: RecordID, blob: ByteBuffer?, expectedCursor: Int64, wrappedDEK: ByteBuffer?) {
        self.id = id
        self.blob = blob
        self.expectedCursor = expectedCursor
        self.wrappedDEK = wrappedDEK
    }
}

/// A push as storage takes it.
package struct Push: Sendable {
    package var space: SpaceID
    package var changes: ChangeSet
    /// The epoch that the changes were made in; 0 or less is not checked (§6.2 step 6).
    package var keyGeneration: Int32
    /// When set and the space is missing, it is created as a personal space of this client in the same transaction,
    /// so that a push to one's personal space is one round trip.
    package var creator: String?

    package init(space: SpaceID, changes: ChangeSet, keyGeneration: Int32 = 0, creator: String? = nil) {
        self.space = space
        self.changes = changes
        self.keyGeneration = keyGeneration
        self.creator = creator
    }
}

package enum PushOutcome: Hashable, Sendable {
    case accepted(PushReceipt)
    /// Some record's cursor was not the expected one. Nothing was written, the cursor did not move.
    case conflict
}

package struct PushReceipt: Hashable, Sendable {
    /// The space's cursor after the push; the current one when there were no changes.
    package var cursor: Int64
    /// Values of the space row as committed, for the `sync` notification (docs/contract/rpc.md §14.1).
    package var keyGeneration: Int32
    package var rewrapEpoch: Int32?
    /// Files whose rows went with the records deleted by this push, in any order. Their objects are still there.
    package var removedFiles: [FileID]

    package init(cursor: Int64, keyGeneration: Int32, rewrapEpoch: Int32? = nil, removedFiles: [FileID] = []) {
        self.cursor = cursor
        self.keyGeneration = keyGeneration
        self.rewrapEpoch = rewrapEpoch
        self.removedFiles = removedFiles
    }
}
