import NIOCore
package import SyncProtocol

/// Bounds of one push (docs/contract/storage.md §1.1, §6.2).
package struct PushLimits: Hashable, Sendable {
    package var changesMax: Int
    /// Bytes of one blob; exactly so many are allowed.
    package var recordBlobBytesMax: Int
    /// Bytes of all blobs together; DEKs are not counted.
    package var pushBlobBytesMax: Int

    package init(
        changesMax: Int = Limits.changesPerPushMax,
        recordBlobBytesMax: Int = Limits.recordBlobBytesMax,
        pushBlobBytesMax: Int = Limits.pushBlobBytesMax
    ) {
        self.changesMax = changesMax
        self.recordBlobBytesMax = recordBlobBytesMax
        self.pushBlobBytesMax = pushBlobBytesMax
    }
}

/// The changes of one push, checked: every id is a UUID, no id occurs twice, no blob is too long
/// (docs/contract/storage.md §6.2 steps 2–4). May be empty.
package struct ChangeSet: Hashable, Sendable {
    package let changes: [RecordChange]
    /// Bytes of all blobs and DEKs, for queues that bound what they hold.
    package let payloadBytes: Int

    /// Checks in the order of docs/contract/storage.md §6.2: the number of changes, then of each change its id, whether the
    /// id was seen before (as a UUID, so that case hides no duplicate) and the length of its blob, then the sum of all blobs.
    ///
    /// - Throws: The first of `.pushRecordLimitExceeded`, `.invalidRecordID`, `.duplicateRecordID`, `.blobTooLarge` and
    ///   `.pushPayloadLimitExceeded` that applies.
    package init(validating changes: [PushParams.Change], limits: PushLimits) throws(StorageError) {
        guard changes.count <= limits.changesMax else { throw .pushRecordLimitExceeded }

        var seen = Set<RecordID>(minimumCapacity: changes.count)
        var checked: [RecordChange] = []
        checked.reserveCapacity(changes.count)
        var blobBytes = 0
        var dekBytes = 0
        for change in changes {
            guard let id = RecordID(wireText: change.id) else { throw .invalidRecordID }
            guard seen.insert(id).inserted else { throw .duplicateRecordID }
            let length = change.blob?.readableBytes ?? 0
            guard length <= limits.recordBlobBytesMax else { throw .blobTooLarge }
            blobBytes += length
            dekBytes += change.dek?.readableBytes ?? 0
            checked.append(
                RecordChange(
                    id: id, blob: change.blob, expectedCursor: change.expectedCursor, wrappedDEK: change.dek))
        }
        guard blobBytes <= limits.pushBlobBytesMax else { throw .pushPayloadLimitExceeded }
        self.changes = checked
        self.payloadBytes = blobBytes + dekBytes
    }
}
