import DequeModule
package import NIOCore
import SyncProtocol

/// The event loop's half of a `WebSocketConnection`: bytes to messages, queue to bytes, timers.
///
/// Input is read only while the session has room for a message: one decoded message may wait for it, the rest stays in
/// the kernel. Control frames before that point are dealt with at once. A message, Close frame or violation behind a
/// request that the session is still busy with takes effect after it, within `closeWait`.
package final class WebSocketHandler: ChannelInboundHandler {
    package typealias InboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    // Fixed after init.
    let configuration: WebSocketConfiguration
    package let connection: WebSocketConnection

    // Event loop only.
    var context: ChannelHandlerContext?
    var handshake: CloseHandshake
    private var decoder: WebSocketDecoder
    private var isDecoding = false
    private var heldViolation: WebSocketViolation?
    private var isPaused = false
    private var isReadRequested = false
    /// Something was read since the last time that reading was complete.
    private var hasRead = false
    /// False until the HTTP handlers are out of the way.
    private(set) var hasStarted = false
    private var hasStreamEnded = false
    private var hasFailed = false

    // Event loop only; WebSocketHandler+Writing.swift
    var isBatchInFlight = false
    var isFarewellInFlight = false
    var isWriting = false
    var pongs: Deque<ByteBuffer> = []
    var isPingQueued = false

    // Event loop only; WebSocketHandler+Timers.swift
    var lastInput: NIODeadline
    var lastProgress: NIODeadline
    /// At the last look for progress.
    var acknowledgedBytes: UInt64?
    var nextKeepalive = NIODeadline.distantFuture
    var nextPing = NIODeadline.distantFuture
    var timer: Scheduled<Void>?
    var stallTask: Scheduled<Void>?
    var closeTask: Scheduled<Void>?

    /// Call on the event loop of `wakeUps`, which is the one of the channel the handler will be added to.
    package init(configuration: WebSocketConfiguration, subprotocol: String = "", wakeUps: WakeUps) {
        let eventLoop = wakeUps.eventLoop
        self.configuration = configuration
        self.connection = WebSocketConnection(
            subprotocol: subprotocol, wakeUps: wakeUps, holdsAfterFirst: configuration.firstMessageBytesMax != nil)
        self.handshake = CloseHandshake(role: configuration.role)
        self.decoder = WebSocketDecoder(
            expectsMask: configuration.role == .server, keepsText: configuration.keepsText,
            messageBytesMax: configuration.firstMessageBytesMax ?? configuration.messageBytesMax)
        self.lastInput = eventLoop.now
        self.lastProgress = eventLoop.now
    }

    // MARK: Channel events

    package func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.connection.attach(self)
        let options = context.channel.syncOptions
        try? options?.setOption(.autoRead, value: false)
        // Not writable from the first byte that the kernel does not take until it has taken the last: tells when a batch has
        // been written without a promise for each.
        try? options?.setOption(.writeBufferWaterMark, value: .init(low: 1, high: 1))
        self.startTimers(context)
        // Whoever adds this handler may still be taking the HTTP handlers out: first read and first write are a tick away.
        context.eventLoop.assumeIsolated().execute {
            self.hasStarted = true
            self.wake()
        }
    }

    package func handlerRemoved(context: ChannelHandlerContext) { self.finish() }

    package func channelInactive(context: ChannelHandlerContext) {
        self.finish()
        context.fireChannelInactive()
    }

    private func finish() {
        guard self.context != nil else { return }
        if self.isBatchInFlight, self.handshake.output == .open {
            self.hasFailed = true
            self.connection.dropped(.transportError)
        }
        self.context = nil
        self.cancelTimers()
        self.connection.attach(nil)
        self.connection.gone(self.hasFailed ? .failed : .peerClosed)
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.lastInput = context.eventLoop.now
        self.hasRead = true
        guard self.handshake.input == .open else { return }
        self.decoder.append(self.unwrapInboundIn(data))
        self.decode()
    }

    package func channelReadComplete(context: ChannelHandlerContext) {
        self.isReadRequested = false
        // When nothing came this is the end of the stream, and a write that fails now would close the channel while NIO is about to
        // close its input, which it does not expect. What waits is written when it is queued.
        if self.hasRead { self.write() }
        self.hasRead = false
        self.requestRead()
    }

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case ChannelEvent.inputClosed:
            self.hasStreamEnded = true
            if self.handshake.input == .open { self.decode() } else { self.act(on: self.handshake.receivedEnd()) }
        case is ChannelShouldQuiesceEvent:
            // The session closes this connection with 1001 when its requests are done.
            break
        default:
            context.fireUserInboundEventTriggered(event)
        }
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.drop(.transportError, reset: false)
    }

    // MARK: Wake-ups

    /// Something was queued, the session took a message or wants one, or a close began.
    func wake() {
        guard self.context != nil else { return }
        let (work, first) = self.connection.beginWake(popping: self.mayWrite)
        let wasPaused = self.isPaused
        if work.closing != nil, self.handshake.beginClosing() {
            self.isPaused = false
            self.heldViolation = nil
            self.armCloseTimer(self.configuration.writeStallMax) { $0.drop(.closeTimeout, reset: true) }
        }
        if let violation = self.heldViolation, work.isAwaited { self.apply(violation) }
        if self.mayWrite { self.write(from: first) }
        // Unless decoding had to stop, all that arrived is decoded. A broadcast only writes.
        if wasPaused {
            self.decode()
            self.write()
        }
        self.requestRead()
    }

    // MARK: Input

    private func decode() {
        guard !self.isDecoding else { return }
        self.isDecoding = true
        defer { self.isDecoding = false }
        while self.handshake.input == .open, self.heldViolation == nil {
            if self.handshake.output == .open {
                let canGoOn = self.connection.work { $0.hasRoomForMessage }.hasRoomForMessage
                if self.isPaused, canGoOn { self.lastInput = self.context?.eventLoop.now ?? self.lastInput }
                self.isPaused = !canGoOn
                guard canGoOn else { return }
            }
            do throws(WebSocketViolation) {
                guard let event = try self.decoder.nextEvent() else {
                    if self.hasStreamEnded { self.inputEnded() }
                    return
                }
                self.handle(event)
            } catch {
                self.hold(error)
            }
        }
    }

    private func handle(_ event: WebSocketDecoder.Event) {
        switch event {
        case .binary(let payload): self.deliver(.binary(payload))
        case .text(let payload): self.deliver(.text(payload))
        case .ping(let payload):
            if self.pongs.count == WebSocketConfiguration.pongsMax { self.pongs.removeFirst() }
            self.pongs.append(payload)
        case .pong:
            break
        case .close(let frame):
            let action = self.handshake.receivedClose(frame)
            self.connection.peerClosed(frame)
            self.act(on: action)
        }
    }

    private func deliver(_ message: InboundMessage) {
        self.decoder.messageBytesMax = self.configuration.messageBytesMax
        if self.handshake.output == .open { self.connection.deliver(message) }
    }

    private func inputEnded() {
        let action = self.handshake.receivedEnd()
        self.connection.inputEnded(.peerClosed)
        self.act(on: action)
    }

    private func hold(_ violation: WebSocketViolation) {
        if self.handshake.output != .open || self.connection.work(pausingUnless: { $0.isAwaited }).isAwaited {
            self.apply(violation)
        } else {
            self.heldViolation = violation
            self.armCloseTimer(self.configuration.closeWait) { $0.apply(violation) }
        }
    }

    private func apply(_ violation: WebSocketViolation) {
        self.heldViolation = nil
        let action = self.handshake.violated()
        self.decoder = WebSocketDecoder(expectsMask: false)
        self.connection.violated(violation)
        self.act(on: action)
    }

    private var wantsRead: Bool {
        guard !self.hasStreamEnded else { return false }
        return switch self.handshake.input {
        case .open: !self.isPaused && self.heldViolation == nil
        case .closed: self.handshake.output == .finished
        case .discarding: true
        case .ended: false
        }
    }

    /// Whether silence of the peer could be noticed.
    var isListening: Bool { self.wantsRead && self.handshake.output == .open }

    private func requestRead() {
        guard let context = self.context, self.wantsRead, !self.isReadRequested else { return }
        self.isReadRequested = true
        context.read()
    }

    // MARK: The end

    func act(on action: CloseHandshake.Action) {
        switch action {
        case .none:
            break
        case .awaitAnswer:
            self.armCloseTimer(self.configuration.closeWait) { $0.connection.echoUnanswered() }
        case .awaitPeerClose:
            self.armCloseTimer(self.configuration.closeWait) { $0.act(on: .closeSocket) }
            self.requestRead()
        case .shutDownOutput:
            self.context?.close(mode: .output, promise: nil)
            self.act(on: .awaitEnd)
        case .awaitEnd:
            self.armCloseTimer(self.configuration.closeWait) { $0.act(on: .closeSocket) }
            self.requestRead()
        case .closeSocket:
            self.context?.close(promise: nil)
        }
    }

    /// - Parameter reset: ends the connection with a TCP reset, so that the kernel does not go on sending to a peer that
    ///   takes nothing.
    func drop(_ reason: DropReason, reset: Bool) {
        guard let context = self.context else { return }
        self.hasFailed = true
        self.connection.dropped(reason)
        self.connection.inputEnded(.failed)
        if reset { context.channel.resetOnClose() }
        context.close(promise: nil)
    }
}

@available(*, unavailable)
extension WebSocketHandler: Sendable {}
