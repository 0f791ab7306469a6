import NIOCore

/// What a server sends (docs/contract/wire.md §5).
public enum ServerFrame: Sendable, Hashable {
    /// The single byte `F6`.
    case keepalive
    /// The answer to the request of that id.
    case response(id: String, result: FramePayload)
    /// The failure of the request of that id.
    case failure(id: String, error: ErrorBody)
    case notification(method: String, params: FramePayload)
    /// A part of the answer to the request of that id; all parts precede the response.
    case chunk(id: String, name: String, data: FramePayload)
    /// A request, or a type that does not exist.
    case ignored(type: Int32)
}

/// `error` of a response.
public struct ErrorBody: Error, Hashable, Sendable {
    /// As sent: a later server may know codes that `RPCErrorCode` does not.
    public var code: String
    public var message: String

    public init(code: String, message: String) {
        self.code = code
        self.message = message
    }

    public init(code: RPCErrorCode, message: String) { self.init(code: code.rawValue, message: message) }

    /// `nil` for a code that this version does not know.
    public var knownCode: RPCErrorCode? { RPCErrorCode(rawValue: self.code) }
}

extension ErrorBody: WireMap {
    static let fields = WireFields(
        Self(code: "", message: ""), .required("code", \.code), .required("message", \.message))
}

/// The keys that tell one server frame from another.
struct ServerEnvelope {
    private var type: Int32
    private var id = ""
    private var method = ""
    private var name: String?
    private var params: ByteBuffer?
    private var result: ByteBuffer?
    private var error: ErrorBody?
    private var data: ByteBuffer?

    private enum Field: String, WireField {
        case type, id, method, name, params, result, error, data

        static let table = WireFieldTable<Self>()
    }

    init(_ message: ByteBuffer) throws(CBORError) {
        var reader = CBORReader(message)
        self.type = -1
        var type: Int32?
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .type: type = try reader.readInt32()
            case .id: self.id = try reader.readText()
            case .method: self.method = try reader.readText()
            case .name: self.name = try reader.readText()
            case .params: self.params = try reader.readItem()
            case .result: self.result = try reader.readItem()
            case .error: self.error = try reader.readNil() ? nil : try ErrorBody(from: &reader)
            case .data: self.data = try reader.readItem()
            }
        }
        guard let type else { throw .missingField }
        self.type = type
    }

    func frame() throws(CBORError) -> ServerFrame {
        switch FrameType(rawValue: self.type) {
        case .response:
            if let error = self.error { return .failure(id: self.id, error: error) }
            guard let result = self.result else { throw .missingField }
            return .response(id: self.id, result: FramePayload(item: result))
        case .notification: return .notification(method: self.method, params: FramePayload(item: self.params))
        case .chunk:
            guard let name = self.name else { throw .missingField }
            return .chunk(id: self.id, name: name, data: FramePayload(item: self.data))
        case .request, nil: return .ignored(type: self.type)
        }
    }
}
