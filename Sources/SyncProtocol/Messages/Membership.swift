public import NIOCore

/// One entry of a space's membership log, an append-only hash chain of opaque payloads (docs/contract/rpc.md §8).
public struct MembershipEntry: Hashable, Sendable {
    /// 1 for the first entry of a log.
    public var chainSequence: Int32
    /// `nil` on the first entry of a log.
    public var previousHash: ByteBuffer?
    /// SHA-256 of the payload, 32 bytes.
    public var entryHash: ByteBuffer
    public var payload: ByteBuffer

    public init(chainSequence: Int32, previousHash: ByteBuffer?, entryHash: ByteBuffer, payload: ByteBuffer) {
        self.chainSequence = chainSequence
        self.previousHash = previousHash
        self.entryHash = entryHash
        self.payload = payload
    }
}

/// `space.create` (docs/contract/rpc.md §7).
public struct SpaceCreateParams: Hashable, Sendable {
    /// As sent; not yet known to be a UUID.
    public var id: String
    /// A compressed P-256 point, 33 bytes.
    public var rootPublicKey: ByteBuffer

    public init(id: String, rootPublicKey: ByteBuffer) {
        self.id = id
        self.rootPublicKey = rootPublicKey
    }
}

/// Result of `space.create`.
public struct SpaceCreateResult: Hashable, Sendable {
    public var id: SpaceID
    public var keyGeneration: Int32

    public init(id: SpaceID, keyGeneration: Int32) {
        self.id = id
        self.keyGeneration = keyGeneration
    }
}

/// `membership.append` (docs/contract/rpc.md §8.1).
public struct MembershipAppendParams: Hashable, Sendable {
    /// As sent; not yet known to be a UUID.
    public var space: String
    /// Empty when absent.
    public var ucan: String
    /// The `metadata_version` of the log that the entry extends.
    public var expectedVersion: Int32
    /// `entryHash` of the entry before; absent or empty for the first.
    public var previousHash: ByteBuffer?
    /// SHA-256 of the payload, 32 bytes.
    public var entryHash: ByteBuffer
    /// Opaque, not empty.
    public var payload: ByteBuffer

    public init(
        space: String, ucan: String = "", expectedVersion: Int32, previousHash: ByteBuffer? = nil,
        entryHash: ByteBuffer, payload: ByteBuffer
    ) {
        self.space = space
        self.ucan = ucan
        self.expectedVersion = expectedVersion
        self.previousHash = previousHash
        self.entryHash = entryHash
        self.payload = payload
    }
}

/// Result of `membership.append`.
public struct MembershipAppendResult: Hashable, Sendable {
    public var chainSequence: Int32
    public var metadataVersion: Int32

    public init(chainSequence: Int32, metadataVersion: Int32) {
        self.chainSequence = chainSequence
        self.metadataVersion = metadataVersion
    }
}

/// `membership.list` (docs/contract/rpc.md §8.2).
public struct MembershipListParams: Hashable, Sendable {
    /// As sent; not yet known to be a UUID.
    public var space: String
    /// Empty when absent.
    public var ucan: String
    /// Only entries behind this one are listed.
    public var sinceSequence: Int32

    public init(space: String, ucan: String = "", sinceSequence: Int32 = 0) {
        self.space = space
        self.ucan = ucan
        self.sinceSequence = sinceSequence
    }
}

/// Result of `membership.list`.
public struct MembershipListResult: Hashable, Sendable {
    /// Ascending by `chainSequence`.
    public var entries: [MembershipEntry]
    public var metadataVersion: Int32

    public init(entries: [MembershipEntry], metadataVersion: Int32) {
        self.entries = entries
        self.metadataVersion = metadataVersion
    }
}

/// `membership.revoke` (docs/contract/rpc.md §8.3). Its result is an `EmptyMap`.
public struct MembershipRevokeParams: Hashable, Sendable {
    /// As sent; not yet known to be a UUID.
    public var space: String
    /// Empty when absent.
    public var ucan: String
    /// CID of the token to revoke, in the platform's form 64 hexadecimal digits; any text but the empty one is taken.
    public var ucanCID: String

    public init(space: String, ucan: String = "", ucanCID: String) {
        self.space = space
        self.ucan = ucan
        self.ucanCID = ucanCID
    }
}

/// Notification `membership` (docs/contract/rpc.md §14.2).
public struct MembershipNotification: Hashable, Sendable {
    public var space: SpaceID
    /// The cursor that the entry took.
    public var cursor: Int64
    /// Exactly one when the server sends it.
    public var entries: [MembershipEntry]

    public init(space: SpaceID, cursor: Int64, entries: [MembershipEntry]) {
        self.space = space
        self.cursor = cursor
        self.entries = entries
    }
}

/// Notification `revoked` (docs/contract/rpc.md §14.4): somebody's access to the space has ended; who hears it must find out
/// whether it is its own.
public struct RevokedNotification: Hashable, Sendable {
    public var space: SpaceID
    /// `ucan_revoked` when the home server is the one that sends it.
    public var reason: String

    public static let ucanRevoked = "ucan_revoked"

    public init(space: SpaceID, reason: String = Self.ucanRevoked) {
        self.space = space
        self.reason = reason
    }
}

/// Notification `resubscribe` (docs/contract/rpc.md §14.9): the subscriptions of these spaces have ended, and `subscribe`
/// with valid UCANs starts them again.
public struct ResubscribeNotification: Hashable, Sendable {
    public var spaces: [String]

    public init(spaces: [String]) { self.spaces = spaces }
}

/// A map without entries: the result of `membership.revoke` and `invitation.delete`, the params of `invitation`. Entries
/// that a later version adds are skipped.
public struct EmptyMap: Hashable, Sendable {
    public init() {}
}
