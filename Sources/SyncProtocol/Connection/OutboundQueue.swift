import DequeModule
package import NIOCore

/// What waits to be written to one connection: the bounded FIFO of `FrameConnection`, without lock, I/O or clock
/// (docs/contract/wire.md §12, architecture R3).
///
/// Answers may take half of it. The rest is left to notifications: otherwise a long pull, which fills whatever it may,
/// would make a slow consumer of every client that watches a busy space.
///
/// A frame counts until the transport has written it: waiting first, then in flight between `pop()` and `completed()`. So does
/// each message of a run.
package struct OutboundQueue: Sendable {
    /// How the connection is to end, once nothing waits any more.
    package enum Closing: Hashable, Sendable {
        /// Send this Close frame.
        case frame(CloseFrame)
        /// Answer the peer's Close frame with its own code; without one, just end.
        case echo
    }

    /// What is written as one message, or as several.
    package enum Item: Sendable {
        /// A response or chunk.
        case answer(ByteBuffer)
        /// The same as a text message. The protocol has none; for tests and conformance checks.
        case text(ByteBuffer)
        case notification(Broadcast)
        /// Chunks, at least one.
        case run(MessageRun)

        /// `nil` for a run.
        package var message: ByteBuffer? {
            switch self {
            case .answer(let message), .text(let message): message
            case .notification(let broadcast): broadcast.message
            case .run: nil
            }
        }

        /// As the limits count them.
        package var bytes: Int {
            switch self {
            case .answer(let message), .text(let message): message.readableBytes
            case .notification(let broadcast): broadcast.message.readableBytes
            case .run(let run): run.bytes
            }
        }

        fileprivate var frames: Int { if case .run(let run) = self { run.count } else { 1 } }
    }

    private struct Account {
        var frames = 0
        var bytes = 0

        mutating func add(_ item: Item) {
            self.frames += item.frames
            self.bytes += item.bytes
        }

        mutating func subtract(_ other: Account) {
            self.frames -= other.frames
            self.bytes -= other.bytes
        }
    }

    /// Frames up to which the room of an empty queue is kept: an idle connection shall not hold what a burst needed.
    private static let keptFramesMax = 8

    private var waiting: Deque<Item> = []
    /// The most that have waited since the queue was empty.
    private var waitingMost = 0
    private var answers = Account()
    private var notifications = Account()
    /// Of both accounts the part that is in flight.
    private var answersInFlight = Account()
    private var notificationsInFlight = Account()
    private var sent = Account()
    private let framesMax: Int
    private let burstFramesMax: Int
    private let bytesMax: Int
    private let answerFramesMax: Int
    private let answerBytesMax: Int

    /// Set by the first call of a closing member, for good.
    package private(set) var closing: Closing?
    /// True after `end()`: nothing can be sent any more, not even a Close frame.
    package private(set) var hasEnded = false

    package init(
        framesMax: Int = Limits.outboundFramesMax, burstFramesMax: Int = Limits.outboundBurstFramesMax,
        bytesMax: Int = Limits.outboundBytesMax
    ) {
        self.framesMax = framesMax
        self.burstFramesMax = burstFramesMax
        self.bytesMax = bytesMax
        self.answerFramesMax = max(framesMax / 2, 1)
        self.answerBytesMax = max(bytesMax / 2, 1)
    }

    /// Frames that wait or are in flight.
    package var frames: Int { self.answers.frames + self.notifications.frames }

    /// Bytes that wait or are in flight.
    package var bytes: Int { self.answers.bytes + self.notifications.bytes }

    /// Frames that were taken out to be written since the beginning.
    package var framesSent: Int { self.sent.frames }

    /// Bytes of those frames.
    package var bytesSent: Int { self.sent.bytes }

    /// Below both limits, and the answers below their half, so that a lane may add its next frame. True after the end as
    /// well: nobody is to wait for it.
    package var hasRoom: Bool {
        guard self.isOpen else { return true }
        return self.frames < self.framesMax && self.bytes < self.bytesMax
            && self.answers.frames < self.answerFramesMax && self.answers.bytes < self.answerBytesMax
    }

    /// Neither closing nor ended: frames are taken.
    package var isOpen: Bool { self.closing == nil && !self.hasEnded }

    /// Nothing waits and nothing is in flight.
    package var isDrained: Bool { self.frames == 0 }

    /// Adds a notification unless that exceeds a limit. The first one fits behind any answers by its size, and into an empty
    /// queue any frame fits.
    ///
    /// - Parameter isSocketBusy: False while the socket has taken all that was popped: then a burst may wait.
    package mutating func offer(_ notification: Broadcast, isSocketBusy: Bool = true) -> OfferResult {
        guard self.isOpen else { return .ended }
        if self.frames > 0 {
            // Answers beyond their share must not shut notifications out.
            let frames = min(self.answers.frames, self.answerFramesMax) + self.notifications.frames
            let bytes =
                min(self.answers.bytes, self.answerBytesMax) + self.notifications.bytes
                + notification.message.readableBytes
            let framesMax = isSocketBusy ? self.framesMax : self.burstFramesMax
            guard frames < framesMax, self.notifications.frames == 0 || bytes <= self.bytesMax else {
                return .full
            }
        }
        self.append(.notification(notification))
        return .queued
    }

    /// Adds an answer even beyond the limits.
    ///
    /// - Returns: False after the end, when the frame was dropped.
    @discardableResult
    package mutating func enqueue(_ message: ByteBuffer, asText: Bool = false) -> Bool {
        guard self.isOpen else { return false }
        self.append(asText ? .text(message) : .answer(message))
        return true
    }

    /// Adds the messages of a run as answers, even beyond the limits.
    ///
    /// - Returns: False after the end, when they were dropped.
    @discardableResult
    package mutating func enqueue(_ run: MessageRun) -> Bool {
        guard self.isOpen else { return false }
        if run.count > 0 { self.append(.run(run)) }
        return true
    }

    /// The next frame to write; it is in flight until `completed()`. `nil` when none waits: then `closing` says what next.
    ///
    /// - Parameter runBytesMax: What is taken of a run at a time, unless its first message is longer. Without it a run comes
    ///   as its messages, one by one.
    package mutating func pop(runBytesMax: Int? = nil) -> Item? {
        guard var item = self.waiting.popFirst() else { return nil }
        if case .run(var run) = item {
            if let runBytesMax {
                item = .run(run.removeFirst(bytesMax: runBytesMax))
            } else if let message = run.popFirst() {
                // Its header has been counted.
                self.answers.bytes -= MessageRun.headerBytes
                item = .answer(message)
            }
            if run.count > 0 { self.waiting.prepend(.run(run)) }
        }
        if self.waiting.isEmpty { self.releaseRoom() }
        self.sent.add(item)
        if case .notification = item { self.notificationsInFlight.add(item) } else { self.answersInFlight.add(item) }
        return item
    }

    /// All frames in flight have been written.
    package mutating func completed() {
        self.answers.subtract(self.answersInFlight)
        self.notifications.subtract(self.notificationsInFlight)
        self.answersInFlight = Account()
        self.notificationsInFlight = Account()
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
        self.completed()
        self.dropWaiting()
    }

    private mutating func append(_ item: Item) {
        if case .notification = item { self.notifications.add(item) } else { self.answers.add(item) }
        self.waiting.append(item)
        self.waitingMost = max(self.waitingMost, self.waiting.count)
    }

    private mutating func dropWaiting() {
        self.waiting = []
        self.answers = self.answersInFlight
        self.notifications = self.notificationsInFlight
    }

    private mutating func releaseRoom() {
        if self.waitingMost > Self.keptFramesMax { self.waiting = [] }
        self.waitingMost = 0
    }
}
