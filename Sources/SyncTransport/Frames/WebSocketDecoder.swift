package import NIOCore
package import SyncProtocol

/// Bytes of one WebSocket in, whole messages and control frames out. Strict about RFC 6455; bounded in memory by the
/// message limit, whatever the fragmentation.
///
/// The caller appends what the socket delivers and asks for events until there is none. After a thrown violation or a
/// `.close` event the decoder must not be asked again.
package struct WebSocketDecoder: Sendable {
    package enum Event: Equatable, Sendable {
        case binary(ByteBuffer)
        /// A valid text message; `nil` unless the decoder keeps text.
        case text(ByteBuffer?)
        case ping(ByteBuffer)
        case pong
        /// `nil` when the peer's Close frame has no payload.
        case close(CloseFrame?)
    }

    private enum State {
        case header
        /// Waiting for all of a control frame's payload.
        case control(FrameHeader)
        /// `consumed` of `length` payload bytes of a data frame have been taken over into `message`.
        case data(FrameHeader, consumed: Int)
    }

    private let expectsMask: Bool
    private let keepsText: Bool
    /// Of one frame and of one reassembled message. A change takes effect with the next message.
    package var messageBytesMax: Int

    private var buffer = ByteBuffer()
    private var state = State.header
    /// Kind of the fragmented message in progress.
    private var messageOpcode: FrameOpcode?
    private var message = ByteBuffer()
    /// Payload bytes of the message in progress; those of text that is not kept are in no buffer.
    private var messageLength = 0
    private var utf8 = UTF8Validator()

    /// - Parameters:
    ///   - expectsMask: `true` on the server's side of a connection.
    ///   - keepsText: hands the payload of text messages over instead of dropping it after the UTF-8 check.
    ///   - messageBytesMax: limit of one frame and of one reassembled message.
    package init(expectsMask: Bool, keepsText: Bool = false, messageBytesMax: Int = Limits.messageBytesMax) {
        self.expectsMask = expectsMask
        self.keepsText = keepsText
        self.messageBytesMax = messageBytesMax
    }

    /// Bytes that have arrived and were not decoded yet.
    package var undecodedBytes: Int { self.buffer.readableBytes }

    package mutating func append(_ bytes: ByteBuffer) {
        if self.buffer.readableBytes == 0 {
            self.buffer = bytes
        } else {
            self.buffer.discardReadBytes()
            self.buffer.writeImmutableBuffer(bytes)
        }
    }

    /// The next event that the bytes so far complete, or `nil` when more bytes are needed.
    package mutating func nextEvent() throws(WebSocketViolation) -> Event? {
        while true {
            switch self.state {
            case .header:
                guard let header = try FrameHeader.read(from: &self.buffer, expectsMask: self.expectsMask) else {
                    self.releaseDrainedBuffer()
                    return nil
                }
                try self.begin(header)
            case .control(let header):
                guard var payload = self.buffer.readSlice(length: header.length) else { return nil }
                if let mask = header.mask { payload.applyMask(mask) }
                self.state = .header
                return try self.controlEvent(header.opcode, payload: payload)
            case .data(let header, let consumed):
                guard let event = try self.continueData(header, consumed: consumed) else {
                    if case .data = self.state {
                        self.releaseDrainedBuffer()
                        return nil
                    }
                    continue
                }
                return event
            }
        }
    }

    private mutating func begin(_ header: FrameHeader) throws(WebSocketViolation) {
        if header.opcode.isControl {
            self.state = .control(header)
            return
        }
        switch (header.opcode, self.messageOpcode) {
        case (.continuation, nil): throw .protocolError("unexpected continuation frame")
        case (.continuation, _): break
        case (_, nil): self.messageOpcode = header.opcode
        case (_, _): throw .protocolError("expected continuation frame")
        }
        guard header.length <= self.messageBytesMax - self.messageLength else { throw .messageTooBig }
        self.messageLength += header.length
        self.state = .data(header, consumed: 0)
        if self.keepsPayload {
            // Never more than what has arrived justifies: a header alone must not make us allocate its claim.
            self.message.reserveCapacity(
                minimumWritableBytes: min(header.length, max(self.buffer.readableBytes, 4_096)))
        }
    }

    private var keepsPayload: Bool { self.messageOpcode != .text || self.keepsText }

    /// Takes over what has arrived of a data frame; an event when that ends the message.
    private mutating func continueData(
        _ header: FrameHeader, consumed: Int
    ) throws(WebSocketViolation) -> Event? {
        let count = min(header.length - consumed, self.buffer.readableBytes)
        if count > 0, var chunk = self.buffer.readSlice(length: count) {
            try self.take(&chunk, mask: header.mask, phase: consumed)
        }
        guard consumed + count == header.length else {
            self.state = .data(header, consumed: consumed + count)
            return nil
        }
        self.state = .header
        guard header.isFinal, let opcode = self.messageOpcode else { return nil }
        self.messageOpcode = nil
        self.messageLength = 0
        var payload = ByteBuffer()
        swap(&payload, &self.message)
        guard opcode == .text else { return .binary(payload) }
        guard self.utf8.isComplete else { throw .invalidUTF8 }
        return .text(self.keepsText ? payload : nil)
    }

    private mutating func take(
        _ chunk: inout ByteBuffer, mask: MaskingKey?, phase: Int
    ) throws(WebSocketViolation) {
        if self.keepsPayload {
            let offset = self.message.readableBytes
            self.message.writeImmutableBuffer(chunk)
            if let mask { self.message.applyMask(mask, from: offset, phase: phase) }
            guard self.messageOpcode == .text else { return }
            var text = self.message
            text.moveReaderIndex(forwardBy: offset)
            guard self.utf8.consume(text.readableBytesSpan) else { throw .invalidUTF8 }
        } else {
            if let mask { chunk.applyMask(mask, phase: phase) }
            guard self.utf8.consume(chunk.readableBytesSpan) else { throw .invalidUTF8 }
        }
    }

    private func controlEvent(
        _ opcode: FrameOpcode, payload: ByteBuffer
    ) throws(WebSocketViolation) -> Event {
        switch opcode {
        case .ping: return .ping(payload)
        case .pong: return .pong
        default: return .close(try Self.closeFrame(payload))
        }
    }

    private static func closeFrame(_ payload: ByteBuffer) throws(WebSocketViolation) -> CloseFrame? {
        var payload = payload
        guard payload.readableBytes > 0 else { return nil }
        guard let code = payload.readInteger(as: UInt16.self) else { throw .protocolError("truncated close code") }
        guard CloseFrame.isValidOnWire(code) else { throw .protocolError("invalid close code") }
        var utf8 = UTF8Validator()
        guard utf8.consume(payload.readableBytesSpan), utf8.isComplete else { throw .invalidUTF8 }
        return CloseFrame(code: code, reason: String(buffer: payload))
    }

    /// An idle connection keeps no read buffer alive.
    private mutating func releaseDrainedBuffer() {
        if self.buffer.readableBytes == 0 { self.buffer = ByteBuffer() }
    }
}
