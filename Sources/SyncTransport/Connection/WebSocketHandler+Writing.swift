import DequeModule
package import NIOCore
import SyncProtocol

extension WebSocketHandler {
    var mayWrite: Bool {
        self.hasStarted && !self.isWriting && !self.isBatchInFlight && !self.isFarewellInFlight && self.context != nil
            && (self.handshake.output == .open || self.handshake.output == .draining)
    }

    func write() {
        if self.mayWrite { self.write(from: self.connection.pop()) }
    }

    /// Writes what waits, a batch at a time: one is in flight until the kernel has taken it, the rest stays in the queue,
    /// where a close may still discard it.
    ///
    /// - Parameter first: the frame that was popped already. Call when `mayWrite`.
    func write(from first: OutboundQueue.Item?) {
        self.isWriting = true
        defer { self.isWriting = false }
        var next = first
        while let context = self.context {
            guard next != nil || !self.pongs.isEmpty || self.isPingQueued else {
                if self.handshake.output == .draining { self.writeFarewell(context) }
                return
            }
            self.writeBatch(from: next, context)
            if self.isBatchInFlight { return }
            next = self.connection.completedAndPop()
        }
    }

    private func writeBatch(from first: OutboundQueue.Item?, _ context: ChannelHandlerContext) {
        var copied = self.takeControlFrames()
        var next = first
        var bytes = 0
        while let item = next {
            bytes += item.bytes
            self.add(item, behind: &copied, context)
            let rest = WebSocketConfiguration.batchBytesMax - bytes
            next = rest > 0 ? self.connection.pop(bytesMax: rest) : nil
        }
        self.hand(&copied, to: context)
        self.isBatchInFlight = true
        context.flush()
        // Writable is a channel that has nothing left to write: see `handlerAdded`.
        guard let context = self.context, !context.channel.isWritable else {
            self.isBatchInFlight = false
            return
        }
        self.connection.socketIsBusy()
        self.progressed()
        self.startStallTimer()
    }

    /// - Parameter copied: small frames that leave in one piece, which is cheaper than an entry in a gathering write for each.
    private func add(_ item: OutboundQueue.Item, behind copied: inout ByteBuffer, _ context: ChannelHandlerContext) {
        let isServer = self.configuration.role == .server
        if isServer, case .notification(let broadcast) = item, let frame = broadcast.frame {
            if frame.readableBytes > WebSocketConfiguration.copiedPayloadBytesMax {
                self.hand(&copied, to: context)
                context.write(self.wrapOutboundOut(frame), promise: nil)
            } else if copied.readableBytes == 0 {
                // Shared with the other subscribers until something is added behind it.
                copied = frame
            } else {
                copied.writeImmutableBuffer(frame)
            }
            return
        }
        if isServer, case .run(let run) = item {
            self.hand(&copied, to: context)
            context.write(self.wrapOutboundOut(run.buffer), promise: nil)
            return
        }
        let opcode: FrameOpcode = if case .text = item { .text } else { .binary }
        guard let payload = item.message else {
            // A run has the headers of a server's frames.
            if case .run(var run) = item {
                while let message = run.popFirst() { copied.writeFrame(.binary, payload: message, mask: .random()) }
            }
            return
        }
        if !isServer || payload.readableBytes <= WebSocketConfiguration.copiedPayloadBytesMax {
            copied.writeFrame(opcode, payload: payload, mask: isServer ? nil : MaskingKey.random())
        } else {
            copied.writeFrameHeader(opcode, length: payload.readableBytes, mask: nil)
            self.hand(&copied, to: context)
            self.writeSlices(of: payload, context)
        }
    }

    private func hand(_ copied: inout ByteBuffer, to context: ChannelHandlerContext) {
        guard copied.readableBytes > 0 else { return }
        context.write(self.wrapOutboundOut(copied), promise: nil)
        copied = ByteBuffer()
    }

    private func takeControlFrames() -> ByteBuffer {
        var buffer = ByteBuffer()
        let mask = { self.configuration.role == .server ? nil : MaskingKey.random() }
        while let payload = self.pongs.popFirst() { buffer.writeFrame(.pong, payload: payload, mask: mask()) }
        if self.isPingQueued { buffer.writeFrame(.ping, payload: ByteBuffer(), mask: mask()) }
        self.isPingQueued = false
        return buffer
    }

    /// Each slice is a sign of progress when the own kernel has taken it, all there is where nobody tells what the peer has taken.
    /// The bytes are shared.
    private func writeSlices(of payload: ByteBuffer, _ context: ChannelHandlerContext) {
        var rest = payload
        while rest.readableBytes > 0,
            let slice = rest.readSlice(length: min(rest.readableBytes, WebSocketConfiguration.payloadSliceBytes))
        {
            let written = context.eventLoop.makePromise(of: Void.self)
            written.futureResult.assumeIsolated().whenSuccess { self.progressed() }
            context.write(self.wrapOutboundOut(slice), promise: written)
        }
    }

    func progressed() {
        guard let context = self.context else { return }
        self.lastProgress = context.eventLoop.now
    }

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        guard self.isBatchInFlight, !self.isWriting, context.channel.isWritable else { return }
        self.isBatchInFlight = false
        let next = self.connection.completedAndPop()
        if self.mayWrite { self.write(from: next) }
    }

    private func writeFarewell(_ context: ChannelHandlerContext) {
        guard let closing = self.connection.drainedClosing() else { return }
        guard let farewell = self.handshake.farewell(for: closing) else {
            self.act(on: self.handshake.finishWithoutFarewell())
            return
        }
        var payload = ByteBuffer()
        if case .frame(let frame) = farewell {
            payload.writeInteger(frame.code)
            payload.writeString(frame.reason)
        }
        var buffer = ByteBuffer()
        buffer.writeFrame(
            .close, payload: payload, mask: self.configuration.role == .server ? nil : MaskingKey.random())
        self.isFarewellInFlight = true
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { result in
            self.isFarewellInFlight = false
            switch result {
            case .success: self.act(on: self.handshake.sentFarewell())
            case .failure: self.drop(.transportError, reset: false)
            }
        }
        context.writeAndFlush(self.wrapOutboundOut(buffer), promise: written)
    }
}
