public import NIOCore

/// Reads CBOR items (RFC 8949) from a buffer, without an intermediate tree: strict, bounded, no allocation beyond the input.
public struct CBORReader {
    private var buffer: ByteBuffer

    public init(_ buffer: ByteBuffer) { self.buffer = buffer }
}
