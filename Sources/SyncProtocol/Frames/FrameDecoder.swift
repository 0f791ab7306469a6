public import NIOCore

/// Bytes of one binary message to a frame (docs/contract/wire.md §7.1). Bytes after the first item are disregarded.
public enum FrameDecoder {
    /// What a client sent on an open connection.
    public static func decodeClientFrame(_ message: ByteBuffer) throws(FrameError) -> ClientFrame {
        guard message.readableBytes > 0 else { throw .empty }
        if Self.isKeepalive(message) { return .keepalive }
        let envelope: ClientEnvelope
        do { envelope = try ClientEnvelope(message) } catch { throw .undecodable }
        let params = FramePayload(item: envelope.params)
        switch FrameType(rawValue: envelope.type) {
        case .request: return .request(.init(id: envelope.id, method: envelope.method, params: params))
        case .notification: return .notification(.init(method: envelope.method, params: params))
        case .response, .chunk, nil: return .ignored(type: envelope.type)
        }
    }

    /// The token of the first message of a connection, never empty (docs/contract/wire.md §4).
    public static func decodeAuthToken(_ message: ByteBuffer) throws(AuthFrameError) -> String {
        guard message.readableBytes > 0 else { throw .empty }
        let frame: AuthFrame
        do { frame = try AuthFrame(message) } catch { throw .undecodable }
        guard frame.type == FrameType.notification.rawValue, frame.method == Method.auth.rawValue else {
            throw .notAuthNotification
        }
        guard !frame.params.token.isEmpty else { throw .emptyToken }
        return frame.params.token
    }

    /// What a server sent.
    public static func decodeServerFrame(_ message: ByteBuffer) throws(FrameError) -> ServerFrame {
        guard message.readableBytes > 0 else { throw .empty }
        if Self.isKeepalive(message) { return .keepalive }
        do { return try ServerEnvelope(message).frame() } catch { throw .undecodable }
    }

    private static func isKeepalive(_ message: ByteBuffer) -> Bool {
        message.readableBytes == 1 && message.getInteger(at: message.readerIndex) == FrameEncoder.keepaliveByte
    }
}

/// The keys that tell one client frame from another. `params` is remembered, not read.
private struct ClientEnvelope {
    var type: Int32
    var id = ""
    var method = ""
    /// `nil` when missing or repeated: neither is a concern of the envelope, and both fail the decoding of the params.
    var params: ByteBuffer?

    private enum Field: String, WireField {
        case type, id, method, params

        static let table = WireFieldTable<Self>()

        var mayRepeat: Bool { self == .params }
    }

    init(_ message: ByteBuffer) throws(CBORError) {
        var reader = CBORReader(message)
        var type: Int32?
        var params = RepeatableItem()
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .type: type = try reader.readInt32()
            case .id: self.id = try Self.readName(from: &reader)
            case .method: self.method = try Self.readName(from: &reader)
            case .params: params.add(try reader.readItem())
            }
        }
        guard let type else { throw .missingField }
        self.type = type
        self.params = params.item
    }

    private static func readName(from reader: inout CBORReader) throws(CBORError) -> String {
        let name = try reader.readText()
        guard name.utf8.count <= Limits.frameNameBytesMax else { throw .outOfRange }
        return name
    }
}

/// A value of the envelope that counts as missing once it comes a second time.
struct RepeatableItem {
    private(set) var item: ByteBuffer?
    private var isRepeated = false

    mutating func add(_ item: ByteBuffer) {
        self.item = self.item == nil && !self.isRepeated ? item : nil
        self.isRepeated = true
    }
}

/// The first frame of a connection. Here `params` is read at once: a wrong one fails the whole frame.
private struct AuthFrame {
    var type: Int32
    var method: String
    var params: TokenParams

    private enum Field: String, WireField {
        case type, method, params

        static let table = WireFieldTable<Self>()
    }

    init(_ message: ByteBuffer) throws(CBORError) {
        var reader = CBORReader(message)
        var type: Int32?
        var method: String?
        var params: TokenParams?
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .type: type = try reader.readInt32()
            case .method: method = try reader.readText()
            case .params: params = try TokenParams(from: &reader)
            }
        }
        guard let type, let method, let params else { throw .missingField }
        self.type = type
        self.method = method
        self.params = params
    }
}
