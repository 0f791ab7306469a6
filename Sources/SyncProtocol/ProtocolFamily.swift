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

    /// `error` of an `epoch.begin` that lost: the SDK of one family takes any other text for success
    /// (docs/contract/rpc.md §10.1, architecture C1).
    public var epochConflict: String {
        switch self {
        case .less: "conflict"
        case .betterbase: "epoch_conflict"
        }
    }
}
