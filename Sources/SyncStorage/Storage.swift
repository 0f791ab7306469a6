package import NIOCore
package import SyncProtocol
import Synchronization

/// Rows of `spaces` (docs/contract/storage.md §5).
package protocol SpaceStore: Sendable {
    /// - Throws: `.spaceNotFound`.
    func space(_ id: SpaceID) async throws(StorageError) -> Space

    /// The known ones of `ids`; unknown ids are absent. Empty input does not touch the database.
    func spaces(_ ids: [SpaceID]) async throws(StorageError) -> [SpaceID: Space]

    /// Inserts a space with the defaults of §2.1; personal without a key, shared with one.
    ///
    /// - Throws: `.spaceExists`, even when the values are identical.
    func createSpace(_ id: SpaceID, clientID: String, rootPublicKey: ByteBuffer?) async throws(StorageError) -> Space

    /// The space, created as a personal one if it is missing. An existing row is returned unchanged.
    func getOrCreateSpace(_ id: SpaceID, clientID: String) async throws(StorageError) -> Space
}

/// The log of one space (docs/contract/storage.md §6).
package protocol RecordStore: Sendable {
    /// Appends a push to its space, all or nothing, and reports what became of it.
    ///
    /// Concurrent pushes are committed in groups (architecture W2): per space on PostgreSQL, per database on SQLite, in
    /// arrival order, each with its own conflict check, cursor and result. When too much is waiting already (a named
    /// limit of the backend), the call waits for room before it queues. It returns once `committed` has returned; cancelling
    /// the task does not take a queued push back.
    ///
    /// - Parameter committed: Called exactly once, after the commit (or the failure, with nothing written), and for the
    ///   pushes of one space in cursor order, before any later push of that space is reported. It must not block. Failures
    ///   are `.spaceNotFound`, `.keyGenerationStale`, `.unavailable`, `.database`.
    func push(_ push: Push, committed: @escaping @Sendable (Result<PushOutcome, StorageError>) -> Void) async

    /// Opens one snapshot and hands it to `body`; its transaction and connection are released when `body` returns or
    /// throws. At most pool size − 2 pulls run at once, further ones wait in FIFO order (docs/contract/storage.md §12,
    /// architecture R1).
    ///
    /// - Throws: `StorageError.spaceNotFound` before `body` is called; what `body` throws.
    func withPull<Result: Sendable>(
        of space: SpaceID,
        since: Int64,
        _ body: (any PullSnapshot) async throws -> Result
    ) async throws -> Result

    /// True for any row of that space, tombstones included; false for an unknown space.
    func recordExists(_ record: RecordID, in space: SpaceID) async throws(StorageError) -> Bool
}

/// Everything that a backend offers, through one value.
package protocol Storage:
    SpaceStore, RecordStore, MembershipStore, InvitationStore, RevocationStore, RateLimitStore, EpochStore, DEKStore,
    FileStore, FileDeletionStore, FederationKeyStore
{
    /// One round trip to the database.
    func ping() async throws(StorageError)

    var statistics: StorageStatistics { get }

    /// How other processes on the same database are told and heard; `nil` when there can be none.
    var changeFeed: (any ChangeFeed)? { get }

    /// Ends pulls, lets queued pushes finish, closes every connection. Later calls throw `.unavailable`.
    func close() async

    /// Makes calls in progress fail with `.unavailable` instead of waiting for an answer, and later ones too; for the end of a
    /// process whose database has fallen silent. What a call in progress has done is not known then. `close` has to follow.
    func abandon()
}

extension Storage {
    /// For a backend that waits for nobody.
    package func abandon() {}
}

extension RecordStore {
    /// `push` for a caller that does not need the ordering of `committed`.
    package func push(_ push: Push) async throws(StorageError) -> PushOutcome {
        let outcome = Mutex<Result<PushOutcome, StorageError>>(.failure(.unavailable))
        await self.push(push) { result in outcome.withLock { $0 = result } }
        return try outcome.withLock { $0 }.get()
    }
}
