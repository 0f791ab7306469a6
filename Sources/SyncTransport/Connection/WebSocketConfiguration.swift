package import NIOCore
import SyncProtocol

/// Times and limits of one WebSocket. The defaults are the contract's (docs/contract/wire.md §8–§10, architecture R4).
package struct WebSocketConfiguration: Sendable {
    package enum Role: Sendable, Hashable {
        /// Reads masked frames, writes plain ones that share the payload's bytes.
        case server
        /// Reads plain frames, masks what it writes.
        case client
    }

    package var role: Role
    /// Limit of one inbound frame and of one inbound message.
    package var messageBytesMax = Limits.messageBytesMax
    /// Limit of the first message, by which the session finds out who the peer is; nothing behind it is read before the
    /// session asks for more. `nil`: it is a message like any other.
    package var firstMessageBytesMax: Int?
    /// Hands text payloads over through `receiveAny()`; otherwise they are dropped once checked.
    package var keepsText = false
    /// Interval of the keepalive message `F6`, counted from the start of the connection; `nil` sends none.
    package var keepaliveInterval: TimeAmount?
    /// Interval of WebSocket Pings.
    package var pingInterval: TimeAmount? = .seconds(30)
    /// A peer from which nothing at all came for so long is gone.
    package var silenceMax: TimeAmount = .seconds(90)
    /// A peer that has bytes to take and takes none for so long is given up. Also bounds the time to send what is queued at a close.
    package var writeStallMax: TimeAmount = .seconds(30)
    /// Wait for the peer's Close, for the session's answer to it, and for the end of the stream after both.
    package var closeWait: TimeAmount = .seconds(1)

    /// How much of what was written the peer has taken; `nil` where nobody tells. Called on the event loop.
    var acknowledgedBytes: @Sendable (any Channel) -> UInt64? = { $0.acknowledgedBytes }

    package static var server: WebSocketConfiguration {
        WebSocketConfiguration(role: .server, keepaliveInterval: .seconds(30))
    }

    package static var client: WebSocketConfiguration { WebSocketConfiguration(role: .client) }

    /// Written in one go; the bound of what `closeDiscardingQueue` cannot take back, one large frame excepted.
    static let batchBytesMax = 65_536
    /// Payloads up to this size are copied next to their header: cheaper than two more entries in a gathering write.
    static let copiedPayloadBytesMax = 4_096
    /// Larger payloads are written in slices, so that a slow reader of one large frame is seen to make progress.
    static let payloadSliceBytes = 32_768
    /// Looks for progress within `writeStallMax`.
    static let stallLooks: Int64 = 6
    /// Pongs that wait to be written. RFC 6455 §5.5.3 allows to answer only the most recent Ping.
    static let pongsMax = 16
}

/// Why the transport gave a connection up by itself; a label for logs and metrics.
package enum DropReason: String, Sendable, Hashable, CaseIterable {
    case silentPeer = "silent_peer"
    case writeStall = "write_stall"
    case closeTimeout = "close_timeout"
    case protocolViolation = "protocol_violation"
    case transportError = "transport_error"
}

extension ConnectionReport.Reason {
    init(_ reason: DropReason) {
        switch reason {
        case .silentPeer: self = .silentPeer
        case .writeStall: self = .writeStall
        case .closeTimeout: self = .closeTimeout
        case .protocolViolation: self = .protocolViolation
        case .transportError: self = .transportError
        }
    }
}
