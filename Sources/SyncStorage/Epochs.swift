package import NIOCore
package import SyncProtocol

/// Key epochs of spaces (docs/contract/storage.md §9.1). Neither operation moves a cursor.
package protocol EpochStore: Sendable {
    /// Begins an epoch: `keyGeneration` and `rewrapEpoch` of the space become `epoch`, if that is the next one and no rewrap is
    /// in progress. Of concurrent callers one succeeds.
    ///
    /// - Parameter setsMinimum: Whether `minKeyGeneration` becomes `epoch` too.
    /// - Throws: `.spaceNotFound`; `.epochConflict`, with the values of the space as they are then.
    func advanceEpoch(of space: SpaceID, to epoch: Int32, setsMinimum: Bool) async throws(StorageError)

    /// Ends the rewrap for `epoch`: the space has none in progress then. How much was rewrapped is not looked at.
    ///
    /// - Throws: `.spaceNotFound`; `.epochMismatch` when no rewrap, or another one, is in progress.
    func completeRewrap(of space: SpaceID, for epoch: Int32) async throws(StorageError)
}

/// The wrapped DEK of a record or a file.
package struct WrappedDEK<Subject>: Hashable, Sendable {
    package var id: Identifier<Subject>
    /// 44 bytes, unless another program wrote them.
    package var wrappedDEK: ByteBuffer
    /// Of the record or file.
    package var cursor: Int64

    package init(id: Identifier<Subject>, wrappedDEK: ByteBuffer, cursor: Int64) {
        self.id = id
        self.wrappedDEK = wrappedDEK
        self.cursor = cursor
    }
}

package typealias RecordDEK = WrappedDEK<RecordSubject>
package typealias FileDEK = WrappedDEK<FileSubject>

/// One open list of DEKs. Used by one task at a time.
package protocol DEKList<Subject>: Sendable {
    associatedtype Subject

    /// The next ones by cursor, then id, at least one and at most `Limits.pullPageEntriesMax`; `nil` at the end.
    ///
    /// - Throws: `.unavailable` or `.database`; the list is then over.
    func nextPage() async throws(StorageError) -> [WrappedDEK<Subject>]?
}

/// New DEKs for records and files that exist (docs/contract/storage.md §9.2). Every DEK is 44 bytes long.
package struct DEKRewrap<Subject>: Hashable, Sendable {
    package struct Item: Hashable, Sendable {
        /// `nil`: its text is not that of a UUID.
        package let id: Identifier<Subject>?
        package let wrappedDEK: ByteBuffer
        /// The epoch prefix; 0 for none, which is the epoch of no space.
        package let epoch: Int32
    }

    /// Where one is named twice, the last DEK counts.
    package let items: [Item]

    /// - Throws: `.invalidWrappedDEK` unless every DEK is 44 bytes long (Δ-S10).
    package init(_ deks: [(id: Identifier<Subject>?, wrappedDEK: ByteBuffer)]) throws(StorageError) {
        var items: [Item] = []
        items.reserveCapacity(deks.count)
        for (id, dek) in deks {
            guard dek.readableBytes == Limits.wrappedDEKBytes else { throw .invalidWrappedDEK }
            let prefix = dek.getInteger(at: dek.readerIndex, as: Int32.self) ?? 0
            items.append(Item(id: id, wrappedDEK: dek, epoch: max(prefix, 0)))
        }
        self.items = items
    }
}

extension DEKRewrap where Subject == RecordSubject {
    /// - Parameter deks: Ids in any textual form of a UUID: hyphenated, 32 digits, in braces, or a URN (§1.3).
    package init(parsing deks: [(id: String, wrappedDEK: ByteBuffer)]) throws(StorageError) {
        try self.init(deks.map { (RecordID(anyUUIDText: $0.id), $0.wrappedDEK) })
    }
}

/// Wrapped DEKs, which are rewrapped when an epoch begins (docs/contract/storage.md §9.2).
package protocol DEKStore: Sendable {
    /// Opens a list of the DEKs of live records with cursors above `since`, of one snapshot, and hands it to `body`. Counts as
    /// a pull: it holds a connection until `body` returns. An unknown space has no DEKs.
    ///
    /// - Throws: `StorageError`; what `body` throws.
    func withRecordDEKs<Result: Sendable>(
        of space: SpaceID, since: Int64, _ body: (any DEKList<RecordSubject>) async throws -> Result
    ) async throws -> Result

    /// The same for files.
    func withFileDEKs<Result: Sendable>(
        of space: SpaceID, since: Int64, _ body: (any DEKList<FileSubject>) async throws -> Result
    ) async throws -> Result

    /// Replaces DEKs of records, all or none, under the space lock. Cursors stay. A tombstone is passed over: it keeps no DEK
    /// (Δ-S3). No items: success without a look at the space.
    ///
    /// - Throws: `.spaceNotFound`, else the first of `.dekEpochMismatch`, `.invalidRecordID` and `.dekRecordNotFound`, item by
    ///   item.
    func rewrapRecordDEKs(_ rewrap: DEKRewrap<RecordSubject>, in space: SpaceID) async throws(StorageError)

    /// Replaces DEKs of files, all or none, under the space lock. Cursors stay. No items: success without a look at the space.
    ///
    /// - Throws: `.spaceNotFound`, then `.dekEpochMismatch` of any item, then `.fileDEKNotFound`, also for an item without an
    ///   id.
    func rewrapFileDEKs(_ rewrap: DEKRewrap<FileSubject>, in space: SpaceID) async throws(StorageError)
}
