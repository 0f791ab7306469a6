/// `epoch.begin` (docs/contract/rpc.md §10.1).
public struct EpochBeginParams: Hashable, Sendable {
    /// As sent; not yet known to be a UUID.
    public var space: String
    /// Empty when absent.
    public var ucan: String
    /// The space's key generation + 1.
    public var epoch: Int32
    /// Whether pushes with DEKs of older epochs are refused from then on.
    public var setsMinKeyGeneration: Bool

    public init(space: String, ucan: String = "", epoch: Int32, setsMinKeyGeneration: Bool = false) {
        self.space = space
        self.ucan = ucan
        self.epoch = epoch
        self.setsMinKeyGeneration = setsMinKeyGeneration
    }
}

/// Result of `epoch.begin`.
public enum EpochBeginResult: Hashable, Sendable {
    case begun(epoch: Int32)
    case conflict(EpochConflict)
}

/// Why an epoch could not be begun: it is not the next one, or a rewrap is in progress.
public struct EpochConflict: Hashable, Sendable {
    /// `ProtocolFamily.epochConflict` when this server sends it.
    public var error: String
    public var currentEpoch: Int32
    /// The epoch whose rewrap is in progress.
    public var rewrapEpoch: Int32?

    public init(error: String, currentEpoch: Int32, rewrapEpoch: Int32?) {
        self.error = error
        self.currentEpoch = currentEpoch
        self.rewrapEpoch = rewrapEpoch
    }
}

/// `epoch.complete` (docs/contract/rpc.md §10.2). Its result is an `EmptyMap`.
public struct EpochCompleteParams: Hashable, Sendable {
    /// As sent; not yet known to be a UUID.
    public var space: String
    /// Empty when absent.
    public var ucan: String
    /// The epoch whose rewrap is in progress.
    public var epoch: Int32

    public init(space: String, ucan: String = "", epoch: Int32) {
        self.space = space
        self.ucan = ucan
        self.epoch = epoch
    }
}

extension EpochBeginParams: WireMap {
    static let fields = WireFields(
        Self(space: "", epoch: 0),
        .optional("ucan", \.ucan, unless: ""), .required("epoch", \.epoch), .required("space", \.space),
        .optional("set_min_key_generation", \.setsMinKeyGeneration, unless: false))
}

extension EpochCompleteParams: WireMap {
    static let fields = WireFields(
        Self(space: "", epoch: 0),
        .optional("ucan", \.ucan, unless: ""), .required("epoch", \.epoch), .required("space", \.space))
}

extension EpochConflict: WireMap {
    static let fields = WireFields(
        Self(error: "", currentEpoch: 0, rewrapEpoch: nil),
        .required("error", \.error), .required("current_epoch", \.currentEpoch),
        .optional("rewrap_epoch", \.rewrapEpoch))
}

extension EpochBeginResult: WireDecodable, WireEncodable {
    private enum Field: String, WireField {
        case epoch, error
        case currentEpoch = "current_epoch"
        case rewrapEpoch = "rewrap_epoch"

        static let table = WireFieldTable<Self>()
    }

    public init(from reader: inout CBORReader) throws(CBORError) {
        var epoch: Int32?
        var error: String?
        var currentEpoch: Int32?
        var rewrapEpoch: Int32?
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .epoch: epoch = try reader.readOptionalInt32()
            case .error: error = try reader.readOptionalText()
            case .currentEpoch: currentEpoch = try reader.readOptionalInt32()
            case .rewrapEpoch: rewrapEpoch = try reader.readOptionalInt32()
            }
        }
        switch (epoch, error, currentEpoch) {
        case (_, let error?, let currentEpoch?):
            self = .conflict(EpochConflict(error: error, currentEpoch: currentEpoch, rewrapEpoch: rewrapEpoch))
        case (let epoch?, nil, _): self = .begun(epoch: epoch)
        default: throw .missingField
        }
    }

    public func encode(to writer: inout CBORWriter) {
        switch self {
        case .begun(let epoch):
            writer.writeMap(1)
            writer.write(key: "epoch")
            writer.write(epoch)
        case .conflict(let conflict): conflict.encode(to: &writer)
        }
    }
}
