import DequeModule
package import NIOCore

/// What waits to be written to one connection: the bounded FIFO of `FrameConnection`, without lock, I/O or clock
/// (docs/contract/wire.md §12, architecture R3).
///
/// A frame counts until the transport has written it: waiting first, then in flight between `pop()` and `completed()`.
package struct OutboundQueue: Sendable {
    /// How the connection is to end, once nothing waits any more.
    package enum Closing: Hashable, Sendable {
        /// Send this Close frame.
        case frame(CloseFrame)
        /// Answer the peer's Close frame with its own code; without one, just end.
        case echo
    }

    private var waiting: Deque<ByteBuffer> = []
    private var inFlight: Deque<Int> = []
    private let framesMax: Int
    private let bytesMax: Int

    /// Bytes that wait or are in flight.
    package private(set) var bytes = 0
    /// Set by the first call of a closing member, for good.
    package private(set) var closing: Closing?
    /// True after `end()`: nothing can be sent any more, not even a Close frame.
    package private(set) var hasEnded = false

    package init(framesMax: Int = Limits.outboundFramesMax, bytesMax: Int = Limits.outboundBytesMax) {
        self.framesMax = framesMax
        self.bytesMax = bytesMax
    }

    /// Frames that wait or are in flight.
    package var frames: Int { self.waiting.count + self.inFlight.count }

    /// Below both limits, so that a lane may add its next frame. True after the end as well: nobody is to wait for it.
    package var hasRoom: Bool {
        !self.isOpen || (self.frames < self.framesMax && self.bytes < self.bytesMax)
    }

    /// Neither closing nor ended: frames are taken.
    package var isOpen: Bool { self.closing == nil && !self.hasEnded }

    /// Nothing waits and nothing is in flight.
    package var isDrained: Bool { self.waiting.isEmpty && self.inFlight.isEmpty }

    /// Adds a frame unless that exceeds a limit. Into an empty queue any frame fits.
    package mutating func offer(_ frame: ByteBuffer) -> OfferResult {
        guard self.isOpen else { return .ended }
        if self.frames > 0 {
            guard self.frames < self.framesMax, self.bytes + frame.readableBytes <= self.bytesMax else { return .full }
        }
        self.append(frame)
        return .queued
    }

    /// Adds a frame even beyond the limits.
    ///
    /// - Returns: False after the end, when the frame was dropped.
    @discardableResult
    package mutating func enqueue(_ frame: ByteBuffer) -> Bool {
        guard self.isOpen else { return false }
        self.append(frame)
        return true
    }

    /// The next frame to write; it is in flight until `completed()`. `nil` when none waits: then `closing` says what next.
    package mutating func pop() -> ByteBuffer? {
        guard let frame = self.waiting.popFirst() else { return nil }
        self.inFlight.append(frame.readableBytes)
        return frame
    }

    /// The oldest frames in flight have been written.
    package mutating func completed(_ count: Int = 1) {
        for _ in 0..<count {
            guard let size = self.inFlight.popFirst() else { return }
            self.bytes -= size
        }
    }

    /// Takes no more frames, keeps what waits.
    ///
    /// - Returns: False if the queue was closing or had ended before; then nothing changed.
    @discardableResult
    package mutating func close(_ closing: Closing) -> Bool {
        guard self.isOpen else { return false }
        self.closing = closing
        return true
    }

    /// Takes no more frames and drops what waits; what is in flight still completes.
    ///
    /// - Returns: False if the queue was closing or had ended before; then nothing changed.
    @discardableResult
    package mutating func closeDiscarding(_ closing: Closing) -> Bool {
        guard self.close(closing) else { return false }
        self.dropWaiting()
        return true
    }

    /// The transport is gone: everything is dropped, `isDrained` is true.
    package mutating func end() {
        self.hasEnded = true
        self.dropWaiting()
        self.inFlight.removeAll()
        self.bytes = 0
    }

    private mutating func append(_ frame: ByteBuffer) {
        self.waiting.append(frame)
        self.bytes += frame.readableBytes
    }

    private mutating func dropWaiting() {
        for frame in self.waiting { self.bytes -= frame.readableBytes }
        self.waiting.removeAll()
    }
}
