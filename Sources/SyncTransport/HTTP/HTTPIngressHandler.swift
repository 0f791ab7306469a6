import NIOCore
import NIOHTTP1

/// First handler of an HTTP connection, below the parser: sees bytes, so that slow heads, stalled bodies, idle and
/// lingering connections are ended in time, as are those whose client takes no response, and an endless request line is
/// refused before it is buffered. Nothing is read while responses wait for the socket.
final class HTTPIngressHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = IOData
    typealias OutboundOut = IOData

    /// Room in the request line for the method, the version and the spaces.
    private static let requestLineOverhead = 64
    /// Input that is dropped while lingering before the connection is closed at once.
    private static let droppedBytesMax = 1_048_576

    private let targetBytesMax: Int
    private let drain: DrainGate
    private var context: ChannelHandlerContext?
    private var machine: HTTPStageMachine
    private var timer: Scheduled<Void>?
    private var timerDeadline = NIODeadline.distantFuture
    private var requestLineBytes: Int? = 0
    private var droppedBytes = 0
    /// A read that waits until the socket has taken the responses.
    private var isReadHeld = false
    /// `drain` counts this connection.
    private var isBusy = false
    /// The bytes on their way up, when they begin a request.
    private var firstBytes: ByteBuffer?
    /// The error that is on its way up is about the request target's length.
    private(set) var isTargetTooLong = false

    init(timeouts: HTTPTimeouts, targetBytesMax: Int, drain: DrainGate, now: NIODeadline) {
        self.targetBytesMax = targetBytesMax
        self.drain = drain
        self.machine = HTTPStageMachine(timeouts: timeouts, now: now)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        // Not writable from the first byte that the kernel does not take until it has taken the last: no byte waits without
        // a deadline.
        try? context.channel.syncOptions?.setOption(.writeBufferWaterMark, value: .init(low: 1, high: 1))
        UnsentBytes.limit(to: UnsentBytes.responseMax, on: context.channel)
        self.rearm()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.stop()
        // A WebSocket from here on, or nothing.
        guard context.channel.isActive else { return self.setBusy(false) }
        UnsentBytes.limit(to: UnsentBytes.unlimited, on: context.channel)
        guard self.isBusy else { return }
        self.isBusy = false
        let drain = self.drain
        context.channel.closeFuture.whenComplete { _ in drain.end() }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.stop()
        self.setBusy(false)
        self.drain.forget(context.channel)
        context.fireChannelInactive()
    }

    private func stop() {
        self.timer?.cancel()
        self.timer = nil
        self.context = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = self.unwrapInboundIn(data)
        self.change { $0.bytesArrived(at: $1) }
        if self.machine.stage == .lingering {
            self.droppedBytes += bytes.readableBytes
            if self.droppedBytes > Self.droppedBytesMax { context.close(promise: nil) }
            return
        }
        if self.machine.stage == .head, let count = self.requestLineBytes {
            if count == 0 { self.firstBytes = bytes }
            if bytes.readableBytesView.contains(UInt8(ascii: "\n")) {
                self.requestLineBytes = nil
            } else if count + bytes.readableBytes > self.targetBytesMax + Self.requestLineOverhead {
                self.isTargetTooLong = true
                self.firstBytes = nil
                context.fireErrorCaught(HTTPParserError.headerOverflow)
                return
            } else {
                self.requestLineBytes = count + bytes.readableBytes
            }
        }
        context.fireChannelRead(data)
        self.firstBytes = nil
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        context.fireChannelReadComplete()
        if self.machine.stage == .lingering { context.read() }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable, self.machine.isOutputBlocked {
            self.change { $0.outputFreed(at: $1) }
            self.releaseRead(context)
        }
        context.fireChannelWritabilityChanged()
    }

    func flush(context: ChannelHandlerContext) {
        context.flush()
        guard self.context != nil, !context.channel.isWritable, !self.machine.isOutputBlocked else { return }
        let taken = Self.takenBytes(context)
        self.change { $0.outputBlocked(taken: taken, at: $1) }
    }

    func read(context: ChannelHandlerContext) {
        if self.machine.isOutputBlocked {
            self.isReadHeld = true
        } else {
            context.read()
        }
    }

    private func releaseRead(_ context: ChannelHandlerContext) {
        guard self.isReadHeld else { return }
        self.isReadHeld = false
        context.read()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case ChannelEvent.inputClosed where self.machine.stage == .lingering:
            context.close(promise: nil)
        case is ChannelShouldQuiesceEvent where !self.isBusy && self.machine.stage != .lingering:
            self.drain.hold(context.channel)
        default:
            context.fireUserInboundEventTriggered(event)
        }
    }

    /// The path of a request whose method the parser does not know. `nil` when the line is not that of an HTTP/1.1 request, or
    /// has not arrived in one piece.
    var pathOfUnknownMethod: Substring? {
        guard let bytes = self.firstBytes else { return nil }
        let line = String(decoding: bytes.readableBytesView.prefix { $0 != UInt8(ascii: "\r") }, as: UTF8.self)
        let parts = line.split(separator: " ", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[2] == "HTTP/1.1", parts[1].hasPrefix("/"), Self.isMethod(parts[0]),
            parts[1].utf8.count <= self.targetBytesMax
        else { return nil }
        return parts[1].prefix { $0 != "?" }
    }

    /// `token` of RFC 9110 §5.6.2.
    private static func isMethod(_ text: Substring) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"):
                    true
                default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
                }
            }
    }

    /// The request in progress has been answered in full.
    var isResponseComplete: Bool { self.machine.isResponseComplete }

    /// The body of the request in progress has arrived in full.
    var isRequestComplete: Bool { self.machine.stage != .body }

    /// Request and response are complete.
    var isIdle: Bool { self.machine.stage == .idle }

    // MARK: What the front handler reports

    func headCompleted() {
        self.requestLineBytes = nil
        self.setBusy(true)
        self.change { $0.headCompleted(at: $1) }
    }

    func requestCompleted() { self.change { $0.requestCompleted(at: $1) } }

    func responseCompleted() {
        self.requestLineBytes = 0
        self.change { $0.responseCompleted(at: $1) }
    }

    /// Our last byte has been handed to the kernel: ends our direction, drops what still arrives, closes when the peer
    /// ends its own, after 1 MiB, or when the time is over. Closing at once could lose the response to a reset.
    func linger() {
        guard let context = self.context, self.machine.stage != .lingering else { return }
        self.change { $0.linger(at: $1) }
        context.close(mode: .output, promise: nil)
        context.read()
    }

    /// Grows when the client takes something of what is written, or, where nobody tells, when the own kernel does.
    private static func takenBytes(_ context: ChannelHandlerContext) -> Int {
        if let bytes = context.channel.acknowledgedBytes { return Int(clamping: bytes) }
        return -((try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0)
    }

    private func change(_ body: (inout HTTPStageMachine, NIODeadline) -> Void) {
        guard let context = self.context else { return }
        body(&self.machine, context.eventLoop.now)
        if self.machine.stage == .idle { self.setBusy(false) }
        self.rearm()
    }

    private func setBusy(_ isBusy: Bool) {
        guard isBusy != self.isBusy else { return }
        self.isBusy = isBusy
        if isBusy { self.drain.begin() } else { self.drain.end() }
    }

    /// The timer is set anew only when the deadline moved ahead of it; one that fires early looks again.
    private func rearm() {
        guard let context = self.context, let deadline = self.machine.deadline else { return }
        guard self.timer == nil || deadline < self.timerDeadline else { return }
        self.timer?.cancel()
        self.timerDeadline = deadline
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) {
            self.timer = nil
            guard let context = self.context else { return }
            if self.machine.isOver(taken: Self.takenBytes(context), at: context.eventLoop.now) {
                context.close(promise: nil)
            } else {
                self.rearm()
            }
        }
    }
}

@available(*, unavailable)
extension HTTPIngressHandler: Sendable {}
