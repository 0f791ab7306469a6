public import NIOCore

/// Several messages in one buffer, which a connection takes and writes as one: the chunks of a page.
///
/// Each stands behind the header of its WebSocket frame already, so that the server's transport can send the buffer as it is:
/// final, binary, not masked, with a length of 16 bits (RFC 6455 §5.2). Messages of other lengths do not go into a run.
public struct MessageRun: Sendable {
    /// Bytes that a message of a run may have: those whose header has a length of 16 bits.
    public static let messageBytes = 126...65_535

    static let headerBytes = 4
    /// The first two bytes of each header.
    private static let headerStart: UInt16 = 0x82_7E

    /// Frames as they are sent, one after another.
    public private(set) var buffer: ByteBuffer

    /// Messages.
    public private(set) var count = 0

    /// - Parameter capacity: Bytes of all messages and their headers, about.
    public init(capacity: Int = 0) { self.buffer = ByteBufferAllocator().buffer(capacity: capacity) }

    /// Bytes of all messages and their headers.
    public var bytes: Int { self.buffer.readableBytes }

    /// Appends what `body` writes as one message.
    ///
    /// - Parameter length: Bytes that `body` writes.
    /// - Returns: False when that is not one of the lengths that a run takes; then `body` was not called.
    mutating func append(length: Int, _ body: (inout OutputRawSpan) -> Void) -> Bool {
        guard Self.messageBytes.contains(length), let shortLength = UInt16(exactly: length) else { return false }
        self.buffer.writeWithOutputRawSpan(minimumWritableBytes: Self.headerBytes + length) { output in
            output.append(Self.headerStart.bigEndian, as: UInt16.self)
            output.append(shortLength.bigEndian, as: UInt16.self)
            body(&output)
            precondition(output.byteCount == Self.headerBytes + length, "A message has the length of its header.")
        }
        self.count += 1
        return true
    }

    /// Appends a copy of one whole message.
    ///
    /// - Returns: As `append(length:_:)`.
    public mutating func append(copying message: ByteBuffer) -> Bool {
        self.append(length: message.readableBytes) { CBORPiece.append(message, to: &$0) }
    }

    /// Takes messages from the front: as many as fit into `bytesMax` with their headers, at least one. The bytes are shared.
    public mutating func removeFirst(bytesMax: Int) -> MessageRun {
        var first = MessageRun()
        var bytes = 0
        while first.count < self.count, let frame = self.frameBytes(at: bytes) {
            guard first.count == 0 || bytes + frame <= bytesMax else { break }
            bytes += frame
            first.count += 1
        }
        if let part = self.buffer.readSlice(length: bytes) { first.buffer = part }
        self.count -= first.count
        return first
    }

    /// Takes the first message, a slice of the buffer; `nil` when there is none.
    public mutating func popFirst() -> ByteBuffer? {
        guard self.count > 0 else { return nil }
        var message = self.removeFirst(bytesMax: 0).buffer
        message.moveReaderIndex(forwardBy: Self.headerBytes)
        return message
    }

    /// - Parameter offset: Of a header.
    private func frameBytes(at offset: Int) -> Int? {
        let length = self.buffer.getInteger(at: self.buffer.readerIndex + offset + 2, as: UInt16.self)
        return length.map { Self.headerBytes + Int($0) }
    }
}
