public import NIOCore

/// What `FrameConnection.receive()` answers.
public enum ReceivedMessage: Sendable, Equatable {
    /// One whole binary message, reassembled, at most `Limits.messageBytesMax` bytes; zero bytes are possible.
    case binary(ByteBuffer)
    /// A text message. Its content is of no use to the protocol and has been dropped.
    case text
    /// Nothing more will come. Answered again by every later call.
    case ended(ConnectionEnd)
}

/// Why no more messages come from a peer.
public enum ConnectionEnd: Sendable, Hashable {
    /// A Close frame or the end of the stream. The server's own Close frame has not been sent yet:
    /// `close(_:)` chooses it, `closeEcho()` echoes the peer's code.
    case peerClosed
    /// The transport failed, was found dead or stalled, or broke the WebSocket protocol. Nothing can be sent any more,
    /// or the transport has answered with its own close code (1002, 1007, 1009) already.
    case failed
    /// This side closed the connection.
    case closedLocally
}

/// Thrown by calls that wait on a connection which has ended.
public struct ConnectionEnded: Error, Hashable {
    public init() {}
}

/// A close code and its reason (at most 123 bytes of UTF-8), see docs/contract/wire.md §10.
public struct CloseFrame: Sendable, Hashable {
    public let code: UInt16
    public let reason: String

    public init(code: UInt16, reason: String) {
        self.code = code
        self.reason = reason
    }
}

/// One WebSocket, seen from above: whole messages in, whole messages out, a bounded queue between.
///
/// Implemented by SyncTransport over a socket and by SyncTesting in memory. Outbound traffic passes one FIFO queue of
/// at most `Limits.outboundFramesMax` frames and `Limits.outboundBytesMax` bytes (docs/contract/wire.md §12,
/// architecture R3); of `Limits.outboundBurstFramesMax` frames while a socket takes whatever it is given. All members may be called from any task or thread; none blocks.
public protocol FrameConnection: AnyObject, Sendable {
    /// The next message. At most one call at a time. The socket is not read while nobody asks: a session that is busy
    /// stalls its own peer by TCP back-pressure.
    ///
    /// Cancelling the calling task ends the wait with `.ended(.closedLocally)` and leaves the connection as it is.
    func receive() async -> ReceivedMessage

    /// Queues a notification without waiting. Its bytes are shared by all connections that it is offered to.
    ///
    /// - Returns: `.full` when the queue had no room: the frame was dropped and the caller must treat this connection
    ///   as a slow consumer.
    func offer(_ notification: Broadcast) -> OfferResult

    /// Queues a response or chunk without waiting, even beyond the limits. The caller has awaited `room()` since its
    /// previous frame, so a lane exceeds the limits by one frame at most. After the end: dropped.
    func enqueue(_ frame: ByteBuffer)

    /// As `enqueue(_:)` for all messages of a run: the caller has awaited `room()` once, so a lane exceeds the limits by one
    /// run at most.
    func enqueue(_ run: MessageRun)

    /// Waits until the outbound queue is below its limits, and the answers in it below half of them: the rest is left to
    /// notifications, so that a pull in progress does not make its client a slow consumer.
    func room() async throws(ConnectionEnded)

    /// Sends what is queued, then `frame`, waits a bounded time for the peer's Close, then ends the connection.
    /// Reading stops at once. The first call of any closing member wins; later ones do nothing. Returns immediately.
    func close(_ frame: CloseFrame)

    /// As `close(_:)`, but drops what is queued: for a slow consumer (4006), whose queue would never drain.
    func closeDiscardingQueue(_ frame: CloseFrame)

    /// Answers the peer's Close frame with its own code (RFC 6455 §5.5.1); without one, just ends the connection.
    func closeEcho()

    /// The Close frame that the peer has sent, if it has; code 1005 and no reason for an empty one (RFC 6455 §7.1.5).
    var peerClose: CloseFrame? { get }

    /// What has passed so far. The reason is true once the connection is gone.
    var report: ConnectionReport { get }

    /// Resets the socket, whatever is queued or half closed: for a peer that does not even take the Close frame.
    func abort()

    /// Returns when the connection is gone: socket closed, nothing queued any more.
    func waitUntilClosed() async

    /// Calls `body` once when the connection is gone; at once if it is. On any thread; `body` must not block.
    func whenClosed(_ body: @escaping @Sendable () -> Void)
}

public enum OfferResult: Sendable, Hashable {
    case queued, full, ended
}

extension FrameConnection {
    /// A notification for this connection alone.
    public func offer(_ notification: ByteBuffer) -> OfferResult { self.offer(Broadcast(notification)) }

    public var peerClose: CloseFrame? { nil }

    public var report: ConnectionReport { ConnectionReport(reason: .other) }

    public func enqueue(_ run: MessageRun) {
        var rest = run
        while let message = rest.popFirst() { self.enqueue(message) }
    }
}
