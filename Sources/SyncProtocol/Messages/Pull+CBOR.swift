import NIOCore

extension PullParams: WireMap {
    static let fields = WireFields(Self(spaces: []), .required("spaces", \.spaces))
}

extension PullParams.Entry: WireMap {
    static let fields = WireFields(
        Self(id: "", since: 0),
        .required("id", \.id), .optional("ucan", \.ucan, unless: ""), .required("since", \.since))
}

extension PullBegin: WireMap {
    static let fields = WireFields(
        Self(space: "", prev: 0, cursor: 0, keyGeneration: 0, rewrapEpoch: nil),
        .required("space", \.space), .required("prev", \.prev), .required("cursor", \.cursor),
        .required("key_generation", \.keyGeneration), .optional("rewrap_epoch", \.rewrapEpoch))
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

extension PullCommit: WireMap {
    static let fields = WireFields(
        Self(space: "", prev: 0, cursor: 0, count: 0),
        .required("space", \.space), .required("prev", \.prev), .required("cursor", \.cursor),
        .required("count", \.count))
}

extension ChunkCount: WireMap {
    static let fields = WireFields(Self(chunks: 0), .required("_chunks", \.chunks))
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
