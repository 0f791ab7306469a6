package import NIOCore
package import SyncProtocol
import Synchronization

/// One entry for the end of a space's membership log. The hashes are opaque to storage.
package struct MemberAppend: Hashable, Sendable {
    package var space: SpaceID
    /// What the space's `metadataVersion` must be.
    package var expectedVersion: Int32
    /// Empty for the first entry of a log, else the `entryHash` of the last one.
    package var previousHash: ByteBuffer
    package var entryHash: ByteBuffer
    package var payload: ByteBuffer
    /// When set and the space is missing, it is created as a personal space of this client in the same transaction.
    package var creator: String?

    package init(
        space: SpaceID, expectedVersion: Int32, previousHash: ByteBuffer, entryHash: ByteBuffer, payload: ByteBuffer,
        creator: String? = nil
    ) {
        self.space = space
        self.expectedVersion = expectedVersion
        self.previousHash = previousHash
        self.entryHash = entryHash
        self.payload = payload
        self.creator = creator
    }
}

/// Where an appended entry has its place.
package struct MemberReceipt: Hashable, Sendable {
    package var chainSequence: Int32
    package var metadataVersion: Int32
    package var cursor: Int64

    package init(chainSequence: Int32, metadataVersion: Int32, cursor: Int64) {
        self.chainSequence = chainSequence
        self.metadataVersion = metadataVersion
        self.cursor = cursor
    }
}

/// A part of a membership log, read in one snapshot.
package struct MemberLog: Hashable, Sendable {
    /// Ascending by `chainSequence`.
    package var entries: [PulledMember]
    package var metadataVersion: Int32
    /// False when entries were left out at the end, because they would have exceeded the bytes asked for.
    package var isComplete: Bool

    package init(entries: [PulledMember], metadataVersion: Int32, isComplete: Bool) {
        self.entries = entries
        self.metadataVersion = metadataVersion
        self.isComplete = isComplete
    }
}

/// The membership log of a space (docs/contract/storage.md §7).
package protocol MembershipStore: Sendable {
    /// Appends one entry in one transaction under the lock of the space: the version is checked first, then the chain; then
    /// the entry gets the next `chainSequence`, and the space's cursor and version grow by one. Returns once `committed` has
    /// returned; cancelling the task does not take a queued append back.
    ///
    /// - Parameter committed: Called exactly once, after the commit (or the failure, with nothing written), in cursor order
    ///   with the pushes of that space, as that of `RecordStore.push`. It must not block. Failures are `.spaceNotFound`,
    ///   `.versionConflict`, `.hashChainBroken`, `.unavailable`, `.database`.
    func appendMember(
        _ append: MemberAppend, committed: @escaping @Sendable (Result<MemberReceipt, StorageError>) -> Void) async

    /// Entries behind `since`.
    ///
    /// - Parameter bytesMax: Bytes of hashes and payloads to stop at.
    /// - Throws: `.spaceNotFound`.
    func members(of space: SpaceID, since: Int32, bytesMax: Int) async throws(StorageError) -> MemberLog
}

extension MembershipStore {
    /// `appendMember` for a caller that does not need the ordering of `committed`.
    package func appendMember(_ append: MemberAppend) async throws(StorageError) -> MemberReceipt {
        let outcome = Mutex<Result<MemberReceipt, StorageError>>(.failure(.unavailable))
        await self.appendMember(append) { result in outcome.withLock { $0 = result } }
        return try outcome.withLock { $0 }.get()
    }
}
