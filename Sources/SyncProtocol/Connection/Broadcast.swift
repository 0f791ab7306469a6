public import NIOCore

/// One message for any number of connections, encoded once: its bytes lie in the queues of all of them
/// (docs/contract/wire.md §11, architecture W4).
public final class Broadcast: Sendable {
    /// The bytes of one binary message.
    public let message: ByteBuffer
    /// The same behind the header of a whole binary WebSocket frame, as a server sends it: unmasked (RFC 6455 §5.2).
    /// `nil` for a large message, which is better sent as it lies than copied behind a header.
    package let frame: ByteBuffer?

    /// Bytes of a message up to which its frame is made.
    package static let framedBytesMax = 65_536

    public init(_ message: ByteBuffer) {
        self.message = message
        self.frame = message.readableBytes <= Self.framedBytesMax ? Self.frame(of: message) : nil
    }

    private static func frame(of message: ByteBuffer) -> ByteBuffer {
        let length = message.readableBytes
        var frame = ByteBufferAllocator().buffer(capacity: length + 10)
        frame.writeInteger(0x82 as UInt8)
        switch length {
        case ...125:
            frame.writeInteger(UInt8(length))
        case ...Int(UInt16.max):
            frame.writeInteger(126 as UInt8)
            frame.writeInteger(UInt16(length))
        default:
            frame.writeInteger(127 as UInt8)
            frame.writeInteger(UInt64(length))
        }
        frame.writeImmutableBuffer(message)
        return frame
    }
}
