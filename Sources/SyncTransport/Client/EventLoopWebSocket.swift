package import NIOCore
package import SyncProtocol

/// A client's WebSocket that is used on its event loop alone: messages are dealt with where they arrive, and what is sent goes
/// to the socket at once.
///
/// For tools that measure. It has no queue, so nothing bounds what is sent to a peer that does not read; everything else wants
/// `WebSocketConnection`. Pings are answered. All members belong to the event loop.
package final class EventLoopWebSocket: ChannelInboundHandler {
    package typealias InboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    /// Takes each binary message; text is dropped.
    package var onMessage: ((ByteBuffer) -> Void)?
    /// Called once, when nothing will come any more; with the peer's Close frame if it has sent one.
    package var onEnd: ((CloseFrame?) -> Void)?

    private var context: ChannelHandlerContext?
    private var decoder: WebSocketDecoder
    private var peerClose: CloseFrame?
    /// The decoder must not be asked any more.
    private var isDone = false

    init(messageBytesMax: Int) {
        self.decoder = WebSocketDecoder(expectsMask: false, messageBytesMax: messageBytesMax)
    }

    /// Sends one binary message; after the end it is dropped.
    package func send(_ payload: ByteBuffer) { self.send(.binary, payload, promise: nil) }

    /// Sends a Close frame, and ends the connection without waiting for the answer.
    package func close(code: UInt16 = 1000) {
        guard let context = self.context, !self.isDone else { return }
        self.isDone = true
        var payload = ByteBuffer()
        payload.writeInteger(code)
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { _ in self.context?.close(promise: nil) }
        self.send(.close, payload, promise: written)
    }

    private func send(_ opcode: FrameOpcode, _ payload: ByteBuffer, promise: EventLoopPromise<Void>?) {
        guard let context = self.context else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        var buffer = context.channel.allocator.buffer(capacity: payload.readableBytes + FrameHeader.bytesMax)
        buffer.writeFrame(opcode, payload: payload, mask: .random())
        context.writeAndFlush(self.wrapOutboundOut(buffer), promise: promise)
    }

    // MARK: Channel events

    package func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    package func handlerRemoved(context: ChannelHandlerContext) { self.finish() }

    package func channelInactive(context: ChannelHandlerContext) {
        self.finish()
        context.fireChannelInactive()
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !self.isDone else { return }
        self.decoder.append(self.unwrapInboundIn(data))
        do throws(WebSocketViolation) {
            while !self.isDone, let event = try self.decoder.nextEvent() {
                switch event {
                case .binary(let message): self.onMessage?(message)
                case .ping(let payload): self.send(.pong, payload, promise: nil)
                case .text, .pong: break
                case .close(let frame):
                    self.peerClose = frame ?? CloseFrame(code: 1005, reason: "")
                    self.close(code: 1000)
                }
            }
        } catch {
            self.isDone = true
            context.close(promise: nil)
        }
    }

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case ChannelEvent.inputClosed = event else { return context.fireUserInboundEventTriggered(event) }
        context.close(promise: nil)
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func finish() {
        guard self.context != nil else { return }
        self.context = nil
        self.isDone = true
        let onEnd = self.onEnd
        (self.onMessage, self.onEnd) = (nil, nil)
        onEnd?(self.peerClose)
    }
}

@available(*, unavailable)
extension EventLoopWebSocket: Sendable {}
