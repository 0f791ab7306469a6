/// `code` of an error response and of the results that carry one (docs/contract/rpc.md §2.2).
public enum RPCErrorCode: String, Hashable, Sendable, CaseIterable {
    case invalidParams = "invalid_params"
    case badRequest = "bad_request"
    case forbidden
    case notFound = "not_found"
    case conflict
    case rateLimited = "rate_limited"
    case payloadTooLarge = "payload_too_large"
    case methodNotFound = "method_not_found"
    case `internal`
    case keyGenerationStale = "key_generation_stale"
}

extension CloseFrame {
    public static let goingAway = CloseFrame(code: 1001, reason: "server shutting down")
    public static let messageTooBig = CloseFrame(code: 1009, reason: "message too big")
    public static let lifetimeReached = CloseFrame(code: 4001, reason: "connection timeout")
    public static let tokenExpired = CloseFrame(code: 4001, reason: "token expired")
    public static let tooManyConnections = CloseFrame(code: 4003, reason: "too many connections")
    public static let slowConsumer = CloseFrame(code: 4006, reason: "slow consumer")

    /// Handshake failures; the reasons are those of docs/contract/wire.md §4.
    public static func authFailed(_ reason: String) -> CloseFrame { CloseFrame(code: 4000, reason: reason) }

    /// Protocol errors of an open connection (docs/contract/wire.md §5.1).
    public static func protocolError(_ reason: String) -> CloseFrame { CloseFrame(code: 4005, reason: reason) }
}

/// `type` of a frame (docs/contract/wire.md §5).
public enum FrameType: Int32, Sendable {
    case request = 0
    case response = 1
    case notification = 2
    case chunk = 3
}

/// `method` of a frame: those that exist so far (docs/contract/rpc.md §1).
public enum Method: String, Hashable, Sendable, CaseIterable {
    case auth
    case subscribe
    case unsubscribe
    case push
    case pull
    case tokenRefresh = "token.refresh"
    case sync

    public enum Kind: Hashable, Sendable {
        case request
        case clientNotification
        case serverNotification
    }

    /// A method in a frame of another kind does not exist: `method_not_found` for a request, nothing for a notification.
    public var kind: Kind {
        switch self {
        case .subscribe, .push, .pull, .tokenRefresh: .request
        case .auth, .unsubscribe: .clientNotification
        case .sync: .serverNotification
        }
    }

    /// `message` of the error `invalid_params`; `nil` for a notification (docs/contract/rpc.md §2.1).
    public var invalidParamsMessage: String? {
        switch self {
        case .subscribe: "invalid subscribe params"
        case .push: "invalid push params"
        case .pull: "invalid pull params"
        case .tokenRefresh: "invalid token refresh params"
        case .auth, .unsubscribe, .sync: nil
        }
    }
}

/// `name` of a chunk (docs/contract/rpc.md §5).
public enum ChunkName: String, Hashable, Sendable, CaseIterable {
    case pullBegin = "pull.begin"
    case pullRecord = "pull.record"
    case pullMembership = "pull.membership"
    case pullFile = "pull.file"
    case pullCommit = "pull.commit"
}
