package import SyncProtocol

/// What is heard of other server processes on the same database.
package enum ChangeFeedEvent: Hashable, Sendable {
    /// They have committed changes up to these cursors.
    case changed([SpaceID: Int64])
    /// One of them has taken a delegation back.
    case revoked(cid: String, space: SpaceID)
    /// The feed hears again, or for the first time: anything may have changed before.
    case resumed
}

/// Tells the server processes on one database of each other's changes (docs/decisions/0012).
package protocol ChangeFeed: Sendable {
    /// Tells the others that this process has committed changes of `space` up to `cursor`. Does not wait. What has not gone
    /// out yet is kept, as one announcement for each space.
    func announce(_ space: SpaceID, at cursor: Int64)

    /// Those of the tokens that are revoked in their space. For whoever has not listened all the time: a revocation is told
    /// as part of itself, once, to those who listen.
    func revocations(among tokens: [SpaceID: Set<String>]) async throws(StorageError) -> [SpaceID: Set<String>]

    /// Listens until the task is cancelled, over any number of lost connections. To be run once; without it nothing is told
    /// either.
    ///
    /// - Parameter receive: Called in the order of the events, never with this process's own announcements. Must not block.
    func run(_ receive: @escaping @Sendable (ChangeFeedEvent) -> Void) async

    /// Opens a snapshot and hands what changed to `body`: entries with cursors in `after + 1 ... through`, tombstones
    /// included. Unlike a pull it takes no part in their limit; `body` must not wait for a peer.
    ///
    /// - Throws: `StorageError.spaceNotFound` before `body` is called; what `body` throws.
    func withChanges<Result: Sendable>(
        of space: SpaceID, after: Int64, through: Int64, _ body: (any PullSnapshot) async throws -> Result
    ) async throws -> Result
}

extension Storage {
    /// For a backend that only one process at a time can use.
    package var changeFeed: (any ChangeFeed)? { nil }
}
