public import NIOCore

/// Writes CBOR items (RFC 8949): shortest integers, definite lengths (docs/contract/wire.md §6).
public struct CBORWriter {
    public private(set) var buffer: ByteBuffer

    public init(capacity: Int = 256) { self.buffer = ByteBufferAllocator().buffer(capacity: capacity) }
}
