import NIOCore

@testable import SyncTransport

/// Builds frames as a peer may send them, faults included.
struct TestFrame {
    var final = true
    var reserved: UInt8 = 0
    var opcode: UInt8 = 0x2
    var payload: [UInt8] = []
    /// `nil` sends the payload plain.
    var mask: UInt32? = 0x37FA_213D
    /// Replaces the true length.
    var declaredLength: UInt64?

    var bytes: ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeInteger((self.final ? 0x80 : 0) | self.reserved << 4 | self.opcode)
        let length = self.declaredLength ?? UInt64(self.payload.count)
        let maskBit: UInt8 = self.mask == nil ? 0 : 0x80
        switch length {
        case ...125: buffer.writeInteger(UInt8(length) | maskBit)
        case ...0xFFFF:
            buffer.writeInteger(126 | maskBit)
            buffer.writeInteger(UInt16(length))
        default:
            buffer.writeInteger(127 | maskBit)
            buffer.writeInteger(length)
        }
        var payload = self.payload
        if let mask = self.mask {
            buffer.writeInteger(mask)
            for index in payload.indices {
                payload[index] ^= UInt8(truncatingIfNeeded: mask >> (24 - 8 * UInt32(index % 4)))
            }
        }
        buffer.writeBytes(payload)
        return buffer
    }

    static func binary(_ payload: [UInt8], mask: UInt32? = 0x37FA_213D) -> ByteBuffer {
        TestFrame(payload: payload, mask: mask).bytes
    }

    static func text(_ text: String) -> ByteBuffer { TestFrame(opcode: 0x1, payload: Array(text.utf8)).bytes }

    static func ping(_ payload: [UInt8] = []) -> ByteBuffer { TestFrame(opcode: 0x9, payload: payload).bytes }

    static func pong(_ payload: [UInt8] = []) -> ByteBuffer { TestFrame(opcode: 0xA, payload: payload).bytes }

    static func close(_ code: UInt16?, _ reason: String = "", mask: UInt32? = 0x37FA_213D) -> ByteBuffer {
        let codeBytes = code.map { [UInt8($0 >> 8), UInt8($0 & 0xFF)] } ?? []
        return TestFrame(opcode: 0x8, payload: codeBytes + Array(reason.utf8), mask: mask).bytes
    }
}

extension ByteBuffer {
    static func + (left: ByteBuffer, right: ByteBuffer) -> ByteBuffer {
        var sum = left
        sum.writeImmutableBuffer(right)
        return sum
    }
}
