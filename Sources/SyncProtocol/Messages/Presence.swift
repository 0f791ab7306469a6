public import NIOCore

/// Notifications `presence.set` and `event.send` of a client (docs/contract/rpc.md §12.1, §13).
public struct PresenceParams: Hashable, Sendable {
    /// As sent; not yet known to be a UUID.
    public var space: String
    /// Opaque; at most `Limits.presenceBytesMax`, for an event `Limits.eventBytesMax`.
    public var data: ByteBuffer

    public init(space: String, data: ByteBuffer) {
        self.space = space
        self.data = data
    }
}

/// Notification `presence.clear` (docs/contract/rpc.md §12.2).
public struct PresenceClearParams: Hashable, Sendable {
    /// As sent; not yet known to be a UUID.
    public var space: String

    public init(space: String) { self.space = space }
}

/// Notifications `presence` and `event` of a server (docs/contract/rpc.md §14.6, §14.8).
public struct PresenceNotification: Hashable, Sendable {
    public var space: SpaceID
    /// Pseudonym of the sending connection in this space, 32 lower-case hexadecimal digits.
    public var peer: String
    public var data: ByteBuffer

    public init(space: SpaceID, peer: String, data: ByteBuffer) {
        self.space = space
        self.peer = peer
        self.data = data
    }
}

/// Notification `presence.leave` (docs/contract/rpc.md §14.7).
public struct PresenceLeaveNotification: Hashable, Sendable {
    public var space: SpaceID
    /// As in `PresenceNotification`.
    public var peer: String

    public init(space: SpaceID, peer: String) {
        self.space = space
        self.peer = peer
    }
}

extension PresenceParams: WireMap {
    static let fields = WireFields(
        Self(space: "", data: ByteBuffer()), .required("data", \.data), .required("space", \.space))
}

extension PresenceClearParams: WireMap {
    static let fields = WireFields(Self(space: ""), .required("space", \.space))
}

extension PresenceNotification: WireMap {
    static let fields = WireFields(
        Self(space: SpaceID(bits: 0), peer: "", data: ByteBuffer()),
        .required("space", \.space), .required("peer", \.peer), .required("data", \.data))
}

extension PresenceLeaveNotification: WireMap {
    static let fields = WireFields(
        Self(space: SpaceID(bits: 0), peer: ""), .required("space", \.space), .required("peer", \.peer))
}
