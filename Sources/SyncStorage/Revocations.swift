package import SyncProtocol

/// Delegations that were taken back, each in one space and for ever (docs/contract/storage.md §8.2). CIDs are opaque.
package protocol RevocationStore: Sendable {
    /// Repeating is a success.
    ///
    /// - Throws: `.database` for an unknown space.
    func revoke(_ cid: String, in space: SpaceID) async throws(StorageError)

    /// What decides about access to a space, in one round trip. Sees every `revoke` that has returned.
    ///
    /// - Parameter cids: Of the tokens that are shown; none is fine.
    /// - Throws: `.spaceNotFound`.
    func access(to space: SpaceID, with cids: [String]) async throws(StorageError) -> SpaceAccess
}

/// See `RevocationStore.access(to:with:)`.
package struct SpaceAccess: Hashable, Sendable {
    package var space: Space
    /// Whether one of the tokens is revoked in the space.
    package var isAnyRevoked: Bool

    package init(space: Space, isAnyRevoked: Bool) {
        self.space = space
        self.isAnyRevoked = isAnyRevoked
    }
}
