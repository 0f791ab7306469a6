package import NIOCore

/// The `params`, `result` or `data` of a frame: known to be well-formed CBOR, not yet to be of any particular shape.
public struct FramePayload: Sendable, Hashable {
    /// A slice of the received message, exactly one item. `nil` when the key was missing or there twice.
    package let item: ByteBuffer?

    package init(item: ByteBuffer?) { self.item = item }

    /// The typed form; its byte strings are slices of the received message.
    ///
    /// - Throws: For a request this is `invalid_params`, for a notification it is to be dropped
    ///   (docs/contract/wire.md §5.1).
    public func decode<Message: WireDecodable>(as message: Message.Type = Message.self) throws(CBORError) -> Message {
        guard let item = self.item else { throw .missingField }
        var reader = CBORReader(item)
        return try Message(from: &reader)
    }
}
