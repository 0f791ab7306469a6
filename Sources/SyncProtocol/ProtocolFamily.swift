/// The two sets of constant strings that the protocol exists in (docs/contract/wire.md §1). Both are always served.
public enum ProtocolFamily: String, CaseIterable, Sendable {
    case less
    case betterbase

    /// The WebSocket subprotocol, compared case-sensitively.
    public var subprotocol: String {
        switch self {
        case .less: "less-rpc-v1"
        case .betterbase: "betterbase-rpc-v1"
        }
    }
}
