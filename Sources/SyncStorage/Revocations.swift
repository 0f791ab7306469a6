package import SyncProtocol

/// Delegations that were taken back, each in one space and for ever (docs/contract/storage.md §8.2). CIDs are opaque.
package protocol RevocationStore: Sendable {
    /// Repeating is a success.
    ///
    /// - Throws: `.database` for an unknown space.
    func revoke(_ cid: String, in space: SpaceID) async throws(StorageError)

    /// Whether one of `cids` is revoked in the space, in one round trip; false for an unknown space and for no CIDs. Sees every
    /// `revoke` that has returned.
    func isAnyRevoked(of cids: [String], in space: SpaceID) async throws(StorageError) -> Bool
}
