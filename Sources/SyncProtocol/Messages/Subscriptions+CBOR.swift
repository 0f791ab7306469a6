import NIOCore

extension SubscribeParams: WireDecodable, WireEncodable {
    private enum Field: String, WireField {
        case spaces

        static let table = WireFieldTable<Self>()
    }

    public init(from reader: inout CBORReader) throws(CBORError) {
        var spaces: [Entry]?
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .spaces: spaces = try reader.readArray(of: Entry.self)
            }
        }
        guard let spaces else { throw .missingField }
        self.init(spaces: spaces)
    }

    public func encode(to writer: inout CBORWriter) {
        writer.writeMap(1)
        writer.write(key: "spaces")
        writer.writeArray(of: self.spaces)
    }
}

extension SubscribeParams.Entry: WireDecodable, WireEncodable {
    private enum Field: String, WireField {
        case id, since, ucan, token, presence

        static let table = WireFieldTable<Self>()
    }

    public init(from reader: inout CBORReader) throws(CBORError) {
        var id: String?
        var since: Int64?
        var ucan: String?
        var token: String?
        var presence: Bool?
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .id: id = try reader.readText()
            case .since: since = try reader.readInt64()
            case .ucan: ucan = try reader.readOptionalText()
            case .token: token = try reader.readOptionalText()
            case .presence: presence = try reader.readOptionalBool()
            }
        }
        guard let id, let since else { throw .missingField }
        self.init(id: id, since: since, ucan: ucan ?? "", token: token ?? "", presence: presence ?? false)
    }

    public func encode(to writer: inout CBORWriter) {
        writer.writeMap(2 + (self.ucan.isEmpty ? 0 : 1) + (self.token.isEmpty ? 0 : 1) + (self.presence ? 1 : 0))
        writer.write(key: "id")
        writer.write(self.id)
        if !self.ucan.isEmpty {
            writer.write(key: "ucan")
            writer.write(self.ucan)
        }
        writer.write(key: "since")
        writer.write(self.since)
        if !self.token.isEmpty {
            writer.write(key: "token")
            writer.write(self.token)
        }
        if self.presence {
            writer.write(key: "presence")
            writer.write(true)
        }
    }
}

extension UnsubscribeParams: WireDecodable, WireEncodable {
    private enum Field: String, WireField {
        case spaces

        static let table = WireFieldTable<Self>()
    }

    public init(from reader: inout CBORReader) throws(CBORError) {
        var spaces: [String]?
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .spaces: spaces = try reader.readTexts()
            }
        }
        guard let spaces else { throw .missingField }
        self.init(spaces: spaces)
    }

    public func encode(to writer: inout CBORWriter) {
        writer.writeMap(1)
        writer.write(key: "spaces")
        writer.writeArray(self.spaces.count)
        for space in self.spaces { writer.write(space) }
    }
}

extension SubscribeResult: WireDecodable, WireEncodable {
    private enum Field: String, WireField {
        case spaces, errors

        static let table = WireFieldTable<Self>()
    }

    public init(from reader: inout CBORReader) throws(CBORError) {
        var spaces: [Subscribed]?
        var errors: [Failure] = []
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .spaces: spaces = try reader.readArray(of: Subscribed.self)
            case .errors: if try !reader.readNil() { errors = try reader.readArray(of: Failure.self) }
            }
        }
        guard let spaces else { throw .missingField }
        self.init(spaces: spaces, errors: errors)
    }

    public func encode(to writer: inout CBORWriter) {
        writer.writeMap(self.errors.isEmpty ? 1 : 2)
        writer.write(key: "spaces")
        writer.writeArray(of: self.spaces)
        guard !self.errors.isEmpty else { return }
        writer.write(key: "errors")
        writer.writeArray(of: self.errors)
    }
}

extension SubscribeResult.Subscribed: WireDecodable, WireEncodable {
    private enum Field: String, WireField {
        case id, cursor
        case keyGeneration = "key_generation"
        case rewrapEpoch = "rewrap_epoch"
        case token, peers

        static let table = WireFieldTable<Self>()
    }

    public init(from reader: inout CBORReader) throws(CBORError) {
        var id: String?
        var cursor: Int64?
        var keyGeneration: Int32?
        var rewrapEpoch: Int32?
        var token: String?
        var peers: [SubscribeResult.Peer] = []
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .id: id = try reader.readText()
            case .cursor: cursor = try reader.readInt64()
            case .keyGeneration: keyGeneration = try reader.readInt32()
            case .rewrapEpoch: rewrapEpoch = try reader.readOptionalInt32()
            case .token: token = try reader.readOptionalText()
            case .peers: if try !reader.readNil() { peers = try reader.readArray(of: SubscribeResult.Peer.self) }
            }
        }
        guard let id, let cursor, let keyGeneration else { throw .missingField }
        self.init(
            id: id, cursor: cursor, keyGeneration: keyGeneration, rewrapEpoch: rewrapEpoch, token: token ?? "",
            peers: peers
        )
    }

    public func encode(to writer: inout CBORWriter) {
        writer.writeMap(
            3 + (self.rewrapEpoch == nil ? 0 : 1) + (self.token.isEmpty ? 0 : 1) + (self.peers.isEmpty ? 0 : 1)
        )
        writer.write(key: "id")
        writer.write(self.id)
        writer.write(key: "cursor")
        writer.write(self.cursor)
        writer.write(key: "key_generation")
        writer.write(self.keyGeneration)
        if let rewrapEpoch = self.rewrapEpoch {
            writer.write(key: "rewrap_epoch")
            writer.write(rewrapEpoch)
        }
        if !self.token.isEmpty {
            writer.write(key: "token")
            writer.write(self.token)
        }
        if !self.peers.isEmpty {
            writer.write(key: "peers")
            writer.writeArray(of: self.peers)
        }
    }
}

extension SubscribeResult.Peer: WireDecodable, WireEncodable {
    private enum Field: String, WireField {
        case peer, data

        static let table = WireFieldTable<Self>()
    }

    public init(from reader: inout CBORReader) throws(CBORError) {
        self.init(peer: "", data: ByteBuffer())
        var map = try reader.readMap(of: Field.self)
        var count = 0
        while let field = try reader.next(in: &map) {
            count += 1
            switch field {
            case .peer: self.peer = try reader.readText()
            case .data: self.data = try reader.readBytes()
            }
        }
        guard count == 2 else { throw .missingField }
    }

    public func encode(to writer: inout CBORWriter) {
        writer.writeMap(2)
        writer.write(key: "peer")
        writer.write(self.peer)
        writer.write(key: "data")
        writer.write(self.data)
    }
}

extension SubscribeResult.Failure: WireDecodable, WireEncodable {
    private enum Field: String, WireField {
        case space, error

        static let table = WireFieldTable<Self>()
    }

    public init(from reader: inout CBORReader) throws(CBORError) {
        var space: String?
        var error: RPCErrorCode?
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .space: space = try reader.readText()
            case .error: error = try RPCErrorCode(from: &reader)
            }
        }
        guard let space, let error else { throw .missingField }
        self.init(space: space, error: error)
    }

    public func encode(to writer: inout CBORWriter) {
        writer.writeMap(2)
        writer.write(key: "space")
        writer.write(self.space)
        writer.write(key: "error")
        writer.write(self.error.rawValue)
    }
}

extension RPCErrorCode: WireDecodable {
    /// - Throws: `.outOfRange` for a code that this version does not know.
    public init(from reader: inout CBORReader) throws(CBORError) {
        guard let code = RPCErrorCode(rawValue: try reader.readText()) else { throw .outOfRange }
        self = code
    }
}
