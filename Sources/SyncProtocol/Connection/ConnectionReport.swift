/// What passed over a connection and why it ended, for logs and metrics. Sizes are those of messages, without WebSocket
/// framing and without what the transport sends by itself.
public struct ConnectionReport: Sendable, Hashable {
    /// As logs and metrics write it (docs/contract/operations.md §11, §12).
    public enum Reason: String, Sendable, Hashable, CaseIterable {
        /// The peer sent a Close frame.
        case peerClosed = "peer_closed"
        /// The stream ended without one.
        case connectionLost = "connection_lost"
        case serverShutdown = "server_shutdown"
        case lifetimeReached = "lifetime_reached"
        case tokenExpired = "token_expired"
        case authFailed = "auth_failed"
        case tooManyConnections = "too_many_connections"
        case protocolError = "protocol_error"
        case slowConsumer = "slow_consumer"
        case silentPeer = "silent_peer"
        case writeStall = "write_stall"
        case closeTimeout = "close_timeout"
        case protocolViolation = "protocol_violation"
        case transportError = "transport_error"
        case other
    }

    public var reason: Reason
    public var messagesIn: UInt64 = 0
    public var bytesIn: UInt64 = 0
    public var messagesOut: UInt64 = 0
    public var bytesOut: UInt64 = 0

    public init(reason: Reason) { self.reason = reason }
}

extension ConnectionReport.Reason {
    /// For the Close frame with which this side began to close.
    public init(ownClose frame: CloseFrame) {
        switch frame {
        case .goingAway: self = .serverShutdown
        case .lifetimeReached: self = .lifetimeReached
        case .tokenExpired: self = .tokenExpired
        case .tooManyConnections: self = .tooManyConnections
        case .slowConsumer: self = .slowConsumer
        default:
            switch frame.code {
            case 1002, 1007, 1009: self = .protocolViolation
            case 4000: self = .authFailed
            case 4005: self = .protocolError
            default: self = .other
            }
        }
    }
}
