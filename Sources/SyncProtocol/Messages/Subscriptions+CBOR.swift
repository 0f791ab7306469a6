import NIOCore

extension SubscribeParams: WireMap {
    static let fields = WireFields(Self(spaces: []), .required("spaces", \.spaces))
}

extension SubscribeParams.Entry: WireMap {
    static let fields = WireFields(
        Self(id: ""),
        .required("id", \.id), .optional("ucan", \.ucan, unless: ""), .required("since", \.since),
        .optional("token", \.token, unless: ""), .optional("presence", \.presence, unless: false))
}

extension UnsubscribeParams: WireMap {
    static let fields = WireFields(Self(spaces: []), .required("spaces", \.spaces))
}

extension SubscribeResult: WireMap {
    static let fields = WireFields(
        Self(spaces: []), .required("spaces", \.spaces), .optional("errors", \.errors, unless: []))
}

extension SubscribeResult.Subscribed: WireMap {
    static let fields = WireFields(
        Self(id: "", cursor: 0, keyGeneration: 0),
        .required("id", \.id), .required("cursor", \.cursor), .required("key_generation", \.keyGeneration),
        .optional("rewrap_epoch", \.rewrapEpoch), .optional("token", \.token, unless: ""),
        .optional("peers", \.peers, unless: []))
}

extension SubscribeResult.Peer: WireMap {
    static let fields = WireFields(
        Self(peer: "", data: ByteBuffer()), .required("peer", \.peer), .required("data", \.data))
}

extension SubscribeResult.Failure: WireMap {
    static let fields = WireFields(
        Self(space: "", error: .internal), .required("space", \.space), .required("error", \.error))
}

extension RPCErrorCode: WireDecodable, WireValue {
    /// - Throws: `.outOfRange` for a code that this version does not know.
    public init(from reader: inout CBORReader) throws(CBORError) {
        guard let code = RPCErrorCode(rawValue: try reader.readText()) else { throw .outOfRange }
        self = code
    }

    func write(to writer: inout CBORWriter) { writer.write(self.rawValue) }
}
