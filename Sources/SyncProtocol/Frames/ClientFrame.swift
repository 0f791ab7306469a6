/// What a client sends on an open connection (docs/contract/wire.md §5, §5.1).
public enum ClientFrame: Sendable, Hashable {
    /// The single byte `F6`.
    case keepalive
    case request(Request)
    case notification(Notification)
    /// A response, a chunk, or a type that does not exist.
    case ignored(type: Int32)

    public struct Request: Sendable, Hashable {
        /// Chosen by the client, echoed verbatim; empty when missing.
        public var id: String
        /// Empty when missing.
        public var method: String
        public var params: FramePayload

        public init(id: String, method: String, params: FramePayload) {
            self.id = id
            self.method = method
            self.params = params
        }
    }

    public struct Notification: Sendable, Hashable {
        /// Empty when missing.
        public var method: String
        public var params: FramePayload

        public init(method: String, params: FramePayload) {
            self.method = method
            self.params = params
        }
    }
}

/// A message that ends an open connection (docs/contract/wire.md §5.1 rows 2 and 4).
public enum FrameError: Error, Hashable, Sendable {
    case empty
    /// The envelope does not decode, or the message is not well-formed anywhere in its first item.
    case undecodable

    public var close: CloseFrame {
        switch self {
        case .empty: .protocolError("empty binary frame")
        case .undecodable: .protocolError("invalid cbor frame")
        }
    }
}

/// A first message that fails the handshake (docs/contract/wire.md §4).
public enum AuthFrameError: Error, Hashable, Sendable {
    case empty
    case undecodable
    case notAuthNotification
    case emptyToken

    public var close: CloseFrame {
        switch self {
        case .empty: .authFailed("empty auth frame")
        case .undecodable: .authFailed("invalid auth frame")
        case .notAuthNotification: .authFailed("first frame must be an auth notification")
        case .emptyToken: .authFailed("empty auth token")
        }
    }
}
