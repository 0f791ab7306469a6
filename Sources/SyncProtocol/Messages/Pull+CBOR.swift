import NIOCore

extension PullParams: WireDecodable, WireEncodable {
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

extension PullParams.Entry: WireDecodable, WireEncodable {
    private enum Field: String, WireField {
        case id, since, ucan

        static let table = WireFieldTable<Self>()
    }

    public init(from reader: inout CBORReader) throws(CBORError) {
        var id: String?
        var since: Int64?
        var ucan: String?
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .id: id = try reader.readText()
            case .since: since = try reader.readInt64()
            case .ucan: ucan = try reader.readOptionalText()
            }
        }
        guard let id, let since else { throw .missingField }
        self.init(id: id, since: since, ucan: ucan ?? "")
    }

    public func encode(to writer: inout CBORWriter) {
        writer.writeMap(self.ucan.isEmpty ? 2 : 3)
        writer.write(key: "id")
        writer.write(self.id)
        if !self.ucan.isEmpty {
            writer.write(key: "ucan")
            writer.write(self.ucan)
        }
        writer.write(key: "since")
        writer.write(self.since)
    }
}

extension PullBegin: WireDecodable, WireEncodable {
    private enum Field: String, WireField {
        case space, prev, cursor
        case keyGeneration = "key_generation"
        case rewrapEpoch = "rewrap_epoch"

        static let table = WireFieldTable<Self>()
    }

    public init(from reader: inout CBORReader) throws(CBORError) {
        var space: String?
        var prev: Int64?
        var cursor: Int64?
        var keyGeneration: Int32?
        var rewrapEpoch: Int32?
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .space: space = try reader.readText()
            case .prev: prev = try reader.readInt64()
            case .cursor: cursor = try reader.readInt64()
            case .keyGeneration: keyGeneration = try reader.readInt32()
            case .rewrapEpoch: rewrapEpoch = try reader.readOptionalInt32()
            }
        }
        guard let space, let prev, let cursor, let keyGeneration else { throw .missingField }
        self.init(space: space, prev: prev, cursor: cursor, keyGeneration: keyGeneration, rewrapEpoch: rewrapEpoch)
    }

    public func encode(to writer: inout CBORWriter) {
        writer.writeMap(self.rewrapEpoch == nil ? 4 : 5)
        writer.write(key: "space")
        writer.write(self.space)
        writer.write(key: "prev")
        writer.write(self.prev)
        writer.write(key: "cursor")
        writer.write(self.cursor)
        writer.write(key: "key_generation")
        writer.write(self.keyGeneration)
        if let rewrapEpoch = self.rewrapEpoch {
            writer.write(key: "rewrap_epoch")
            writer.write(rewrapEpoch)
        }
    }
}

extension RecordEntry: WireDecodable, WireEncodable {
    private enum Field: String, WireField {
        case space, id, blob, cursor, dek, deleted

        static let table = WireFieldTable<Self>()
    }

    public init(from reader: inout CBORReader) throws(CBORError) {
        var space: String?
        var id: RecordID?
        var blob: ByteBuffer?
        var cursor: Int64?
        var dek: ByteBuffer?
        var deleted: Bool?
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .space: space = try reader.readOptionalText()
            case .id: id = try reader.readIdentifier()
            case .blob: blob = try reader.readOptionalBytes()
            case .cursor: cursor = try reader.readInt64()
            case .dek: dek = try reader.readOptionalBytes()
            case .deleted: deleted = try reader.readOptionalBool()
            }
        }
        guard let id, let cursor else { throw .missingField }
        self.init(space: space, id: id, blob: blob, cursor: cursor, dek: dek, deleted: deleted ?? false)
    }

    public func encode(to writer: inout CBORWriter) {
        var count = 2
        if self.space != nil { count += 1 }
        if self.blob != nil { count += 1 }
        if self.dek != nil { count += 1 }
        if self.deleted { count += 1 }
        writer.writeMap(count)
        if let space = self.space {
            writer.write(key: "space")
            writer.write(space)
        }
        writer.write(key: "id")
        writer.write(self.id)
        if let blob = self.blob {
            writer.write(key: "blob")
            writer.write(blob)
        }
        writer.write(key: "cursor")
        writer.write(self.cursor)
        if let dek = self.dek {
            writer.write(key: "dek")
            writer.write(dek)
        }
        if self.deleted {
            writer.write(key: "deleted")
            writer.write(true)
        }
    }
}

extension PullCommit: WireDecodable, WireEncodable {
    private enum Field: String, WireField {
        case space, prev, cursor, count

        static let table = WireFieldTable<Self>()
    }

    public init(from reader: inout CBORReader) throws(CBORError) {
        var space: String?
        var prev: Int64?
        var cursor: Int64?
        var count: Int64?
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .space: space = try reader.readText()
            case .prev: prev = try reader.readInt64()
            case .cursor: cursor = try reader.readInt64()
            case .count: count = try reader.readInt64()
            }
        }
        guard let space, let prev, let cursor, let count else { throw .missingField }
        self.init(space: space, prev: prev, cursor: cursor, count: count)
    }

    public func encode(to writer: inout CBORWriter) {
        writer.writeMap(4)
        writer.write(key: "space")
        writer.write(self.space)
        writer.write(key: "prev")
        writer.write(self.prev)
        writer.write(key: "cursor")
        writer.write(self.cursor)
        writer.write(key: "count")
        writer.write(self.count)
    }
}

extension ChunkCount: WireDecodable, WireEncodable {
    private enum Field: String, WireField {
        case chunks = "_chunks"

        static let table = WireFieldTable<Self>()
    }

    public init(from reader: inout CBORReader) throws(CBORError) {
        var chunks: Int64?
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .chunks: chunks = try reader.readInt64()
            }
        }
        guard let chunks else { throw .missingField }
        self.init(chunks: chunks)
    }

    public func encode(to writer: inout CBORWriter) {
        writer.writeMap(1)
        writer.write(key: "_chunks")
        writer.write(self.chunks)
    }
}

extension CBORReader {
    /// A UUID in its hyphenated form.
    ///
    /// - Throws: `.outOfRange` for any other text.
    package mutating func readIdentifier<Subject>() throws(CBORError) -> Identifier<Subject> {
        guard let id = Identifier<Subject>(wireText: try self.readText()) else { throw .outOfRange }
        return id
    }
}
