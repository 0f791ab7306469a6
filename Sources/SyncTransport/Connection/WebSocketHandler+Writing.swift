import DequeModule
import NIOCore
import SyncProtocol

extension WebSocketHandler {
    /// Writes what waits, a batch at a time: one is in flight until the kernel has taken it, the rest stays in the queue,
    /// where a close may still discard it.
    func write() {
        guard self.hasStarted, !self.isWriting else { return }
        self.isWriting = true
        defer { self.isWriting = false }
        while !self.isBatchInFlight, let context = self.context {
            guard self.handshake.output == .open || self.handshake.output == .draining else { return }
            self.connection.popBatch(bytesMax: WebSocketConfiguration.batchBytesMax, into: &self.batch)
            guard !self.batch.isEmpty || !self.pongs.isEmpty || self.isPingQueued else {
                if self.handshake.output == .draining { self.writeFarewell(context) }
                return
            }
            self.writeBatch(context)
        }
    }

    private func writeBatch(_ context: ChannelHandlerContext) {
        let isServer = self.configuration.role == .server
        var copied = self.takeControlFrames(capacity: self.batchCapacity)
        for (payload, opcode) in self.batch {
            let mask = isServer ? nil : MaskingKey.random()
            if !isServer || payload.readableBytes <= WebSocketConfiguration.copiedPayloadBytesMax {
                copied.writeFrame(opcode, payload: payload, mask: mask)
            } else {
                copied.writeFrameHeader(opcode, length: payload.readableBytes, mask: nil)
                context.write(self.wrapOutboundOut(copied), promise: nil)
                copied = self.writeSlices(of: payload, context)
            }
        }
        let frames = self.batch.count
        self.batch.removeAll(keepingCapacity: true)
        self.isBatchInFlight = true
        self.lastProgress = context.eventLoop.now
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { self.batchEnded(frames, $0) }
        context.writeAndFlush(self.wrapOutboundOut(copied), promise: written)
        if self.isBatchInFlight { self.armStallTimer() }
    }

    /// Bytes of the control frames and of the frames that are copied.
    private var batchCapacity: Int {
        var capacity = self.pongs.count * (125 + FrameHeader.bytesMax) + FrameHeader.bytesMax
        for (payload, _) in self.batch {
            capacity += FrameHeader.bytesMax
            if self.configuration.role == .client
                || payload.readableBytes <= WebSocketConfiguration.copiedPayloadBytesMax
            {
                capacity += payload.readableBytes
            }
        }
        return capacity
    }

    private func takeControlFrames(capacity: Int) -> ByteBuffer {
        var buffer = ByteBufferAllocator().buffer(capacity: capacity)
        let mask = { self.configuration.role == .server ? nil : MaskingKey.random() }
        while let payload = self.pongs.popFirst() { buffer.writeFrame(.pong, payload: payload, mask: mask()) }
        if self.isPingQueued { buffer.writeFrame(.ping, payload: ByteBuffer(), mask: mask()) }
        self.isPingQueued = false
        return buffer
    }

    /// Writes all but the last slice, each a sign of progress when the kernel has taken it. The bytes are shared.
    ///
    /// - Returns: the last slice.
    private func writeSlices(of payload: ByteBuffer, _ context: ChannelHandlerContext) -> ByteBuffer {
        var rest = payload
        while rest.readableBytes > WebSocketConfiguration.payloadSliceBytes,
            let slice = rest.readSlice(length: WebSocketConfiguration.payloadSliceBytes)
        {
            let written = context.eventLoop.makePromise(of: Void.self)
            written.futureResult.assumeIsolated().whenSuccess { self.progressed() }
            context.write(self.wrapOutboundOut(slice), promise: written)
        }
        return rest
    }

    private func progressed() {
        guard let context = self.context else { return }
        self.lastProgress = context.eventLoop.now
    }

    private func batchEnded(_ frames: Int, _ result: Result<Void, any Error>) {
        self.isBatchInFlight = false
        switch result {
        case .success:
            self.progressed()
            self.connection.completed(frames)
            self.write()
        case .failure:
            self.drop(.transportError, reset: false)
        }
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
        self.isBatchInFlight = true
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { result in
            self.isBatchInFlight = false
            switch result {
            case .success: self.act(on: self.handshake.sentFarewell())
            case .failure: self.drop(.transportError, reset: false)
            }
        }
        context.writeAndFlush(self.wrapOutboundOut(buffer), promise: written)
    }
}
