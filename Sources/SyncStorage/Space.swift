package import NIOCore
package import SyncProtocol

/// One row of `spaces` (docs/contract/storage.md §1, §2.1).
package struct Space: Hashable, Sendable {
    package var id: SpaceID
    /// OAuth client of the creator; informational.
    package var clientID: String
    /// 33-byte compressed SEC1 point of a shared space; `nil` for a personal one.
    package var rootPublicKey: ByteBuffer?
    /// Current epoch, 1 or more.
    package var keyGeneration: Int32
    /// Lowest epoch that a push may use, 1...`keyGeneration`.
    package var minKeyGeneration: Int32
    package var metadataVersion: Int32
    /// Cursor of the latest committed write, 0 for an empty space.
    package var cursor: Int64
    /// The epoch whose DEK rewrap is in progress.
    package var rewrapEpoch: Int32?
    /// Set when another server sequences this space.
    package var homeServer: String?

    package init(
        id: SpaceID,
        clientID: String,
        rootPublicKey: ByteBuffer? = nil,
        keyGeneration: Int32 = 1,
        minKeyGeneration: Int32 = 1,
        metadataVersion: Int32 = 0,
        cursor: Int64 = 0,
        rewrapEpoch: Int32? = nil,
        homeServer: String? = nil
    ) {
        self.id = id
        self.clientID = clientID
        self.rootPublicKey = rootPublicKey
        self.keyGeneration = keyGeneration
        self.minKeyGeneration = minKeyGeneration
        self.metadataVersion = metadataVersion
        self.cursor = cursor
        self.rewrapEpoch = rewrapEpoch
        self.homeServer = homeServer
    }
}
