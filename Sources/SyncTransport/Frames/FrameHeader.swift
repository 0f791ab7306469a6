import NIOCore

/// Frame types of RFC 6455 §5.2. Every other value is reserved.
package enum FrameOpcode: UInt8, Sendable {
    case continuation = 0x0
    case text = 0x1
    case binary = 0x2
    case close = 0x8
    case ping = 0x9
    case pong = 0xA

    package var isControl: Bool { self.rawValue & 0x8 != 0 }
}

/// The part of a frame before its payload (RFC 6455 §5.2).
struct FrameHeader: Equatable {
    /// Bytes of the longest header: two, a 64-bit length, a masking key.
    static let bytesMax = 14

    let isFinal: Bool
    let opcode: FrameOpcode
    let length: Int
    let mask: MaskingKey?

    /// Reads a header, or nothing when `buffer` does not hold all of it. What can be refused is refused as soon as its
    /// bytes are there.
    ///
    /// - Parameter expectsMask: clients must mask, servers must not (RFC 6455 §5.1).
    static func read(
        from buffer: inout ByteBuffer, expectsMask: Bool
    ) throws(WebSocketViolation) -> FrameHeader? {
        let start = buffer.readerIndex
        guard let first = buffer.getInteger(at: start, as: UInt8.self) else { return nil }
        guard first & 0x70 == 0 else { throw .protocolError("reserved bit set") }
        guard let opcode = FrameOpcode(rawValue: first & 0x0F) else { throw .protocolError("reserved opcode") }
        let isFinal = first & 0x80 != 0
        guard isFinal || !opcode.isControl else { throw .protocolError("fragmented control frame") }

        guard let second = buffer.getInteger(at: start + 1, as: UInt8.self) else { return nil }
        guard (second & 0x80 != 0) == expectsMask else {
            throw .protocolError(expectsMask ? "unmasked frame" : "masked frame")
        }
        let length: UInt64
        var position = start + 2
        switch second & 0x7F {
        case 126:
            guard !opcode.isControl else { throw .protocolError("control frame too long") }
            guard let value = buffer.getInteger(at: position, as: UInt16.self) else { return nil }
            length = UInt64(value)
            position += 2
        case 127:
            guard !opcode.isControl else { throw .protocolError("control frame too long") }
            guard let value = buffer.getInteger(at: position, as: UInt64.self) else { return nil }
            length = value
            position += 8
        case let value:
            length = UInt64(value)
        }
        guard let length = Int(exactly: length) else { throw .protocolError("invalid frame length") }
        var mask: MaskingKey?
        if expectsMask {
            guard let key = buffer.getInteger(at: position, as: UInt32.self) else { return nil }
            mask = MaskingKey(rawValue: key)
            position += 4
        }
        buffer.moveReaderIndex(to: position)
        return FrameHeader(isFinal: isFinal, opcode: opcode, length: length, mask: mask)
    }
}

extension ByteBuffer {
    /// Writes the header of an unfragmented frame in its shortest form.
    mutating func writeFrameHeader(_ opcode: FrameOpcode, length: Int, mask: MaskingKey?) {
        self.writeInteger(opcode.rawValue | 0x80)
        let maskBit: UInt8 = mask == nil ? 0 : 0x80
        switch length {
        case ...125:
            self.writeInteger(UInt8(length) | maskBit)
        case ...Int(UInt16.max):
            self.writeInteger(126 | maskBit)
            self.writeInteger(UInt16(length))
        default:
            self.writeInteger(127 | maskBit)
            self.writeInteger(UInt64(length))
        }
        if let mask { self.writeInteger(mask.rawValue) }
    }

    /// Writes a whole unfragmented frame.
    mutating func writeFrame(_ opcode: FrameOpcode, payload: ByteBuffer, mask: MaskingKey?) {
        self.writeFrameHeader(opcode, length: payload.readableBytes, mask: mask)
        let offset = self.readableBytes
        self.writeImmutableBuffer(payload)
        if let mask { self.applyMask(mask, from: offset) }
    }
}
