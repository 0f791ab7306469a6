/// A value that can be read from the `params`, `result` or `data` of a frame (docs/contract/wire.md §7.2).
public protocol WireDecodable: Sendable {
    /// Reads exactly one CBOR item. Unknown keys are skipped, key order is free, a known key twice is an error; `null` and
    /// `undefined` count as absent for every optional field.
    init(from reader: inout CBORReader) throws(CBORError)
}

/// A value that can be written as the `params`, `result` or `data` of a frame (docs/contract/wire.md §6).
public protocol WireEncodable: Sendable {
    /// Writes exactly one CBOR item: definite lengths, absent optionals omitted. What a server sends has its keys in the
    /// order of docs/contract/rpc.md, what a client sends in the SDK's: by length, then bytewise.
    ///
    /// Called twice for one frame, first to measure it.
    func encode(to writer: inout CBORWriter)
}

extension WireEncodable {
    /// Bytes of the encoded item, exactly.
    public var encodedSize: Int { CBORWriter.measure { self.encode(to: &$0) } }
}
