public import NIOCore

/// `subscribe` (docs/contract/rpc.md §3.1).
public struct SubscribeParams: Hashable, Sendable {
    public var spaces: [Entry]

    public struct Entry: Hashable, Sendable {
        /// As sent, and echoed so in the result.
        public var id: String
        public var since: Int64
        public var ucan: String
        /// Servers only.
        public var token: String
        public var presence: Bool

        public init(id: String, since: Int64 = 0, ucan: String = "", token: String = "", presence: Bool = false) {
            self.id = id
            self.since = since
            self.ucan = ucan
            self.token = token
            self.presence = presence
        }
    }

    public init(spaces: [Entry]) { self.spaces = spaces }
}

/// Result of `subscribe`.
public struct SubscribeResult: Hashable, Sendable {
    public var spaces: [Subscribed]
    /// Written only when not empty.
    public var errors: [Failure]

    public struct Subscribed: Hashable, Sendable {
        public var id: String
        public var cursor: Int64
        public var keyGeneration: Int32
        public var rewrapEpoch: Int32?
        /// Servers only; written only when not empty.
        public var token: String
        /// Written only when not empty.
        public var peers: [Peer]

        public init(
            id: String, cursor: Int64, keyGeneration: Int32, rewrapEpoch: Int32? = nil, token: String = "",
            peers: [Peer] = []
        ) {
            self.id = id
            self.cursor = cursor
            self.keyGeneration = keyGeneration
            self.rewrapEpoch = rewrapEpoch
            self.token = token
            self.peers = peers
        }
    }

    public struct Peer: Hashable, Sendable {
        public var peer: String
        public var data: ByteBuffer

        public init(peer: String, data: ByteBuffer) {
            self.peer = peer
            self.data = data
        }
    }

    public struct Failure: Hashable, Sendable {
        public var space: String
        public var error: RPCErrorCode

        public init(space: String, error: RPCErrorCode) {
            self.space = space
            self.error = error
        }
    }

    public init(spaces: [Subscribed], errors: [Failure] = []) {
        self.spaces = spaces
        self.errors = errors
    }
}

/// Notification `unsubscribe` (docs/contract/rpc.md §3.2).
public struct UnsubscribeParams: Hashable, Sendable {
    public var spaces: [String]

    public init(spaces: [String]) { self.spaces = spaces }
}
