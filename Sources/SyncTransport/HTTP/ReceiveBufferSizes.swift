import NIOCore

/// Sizes of the buffers that a server's sockets are read into. Most connections are idle most of the time, so each keeps the
/// room for one short message; a larger read gets a buffer that goes with its bytes.
///
/// NIO keeps the first buffer of a channel for its life and uses it whenever `record` says that the size does not grow.
/// It keeps no other with `maxMessagesPerRead` 1.
struct ReceiveBufferSizes: RecvByteBufferAllocator {
    static let smallest = 512
    static let largest = 65_536
    private static let step = 8

    private var size = Self.smallest

    func buffer(allocator: ByteBufferAllocator) -> ByteBuffer { allocator.buffer(capacity: self.size) }

    mutating func record(actualReadBytes: Int) -> Bool {
        if actualReadBytes >= self.size {
            self.size = min(self.size * Self.step, Self.largest)
        } else if actualReadBytes < self.size / Self.step {
            self.size = max(self.size / Self.step, Self.smallest)
        }
        return self.size > Self.smallest
    }

    func nextBufferSize() -> Int? { nil }

    /// Makes `channel` read so. Call on its event loop.
    static func apply(to channel: any Channel) throws {
        try channel.syncOptions?.setOption(.recvAllocator, value: ReceiveBufferSizes())
        try channel.syncOptions?.setOption(.maxMessagesPerRead, value: 1)
    }
}
