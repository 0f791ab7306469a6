public import NIOCore

/// Chunk `pull.membership` (docs/contract/rpc.md §5).
public struct PullMembership: Hashable, Sendable {
    public var space: String
    public var cursor: Int64
    /// Exactly one when the server sends it.
    public var entries: [MembershipEntry]

    public init(space: String, cursor: Int64, entries: [MembershipEntry]) {
        self.space = space
        self.cursor = cursor
        self.entries = entries
    }
}

/// Chunk `pull.file` (docs/contract/rpc.md §5).
public struct PullFile: Hashable, Sendable {
    public var space: String
    public var id: FileID
    public var recordID: RecordID
    /// Bytes of the stored object; written unless 0.
    public var size: Int64
    /// Written even when empty.
    public var dek: ByteBuffer
    public var cursor: Int64
    public var deleted: Bool

    public init(
        space: String, id: FileID, recordID: RecordID, size: Int64, dek: ByteBuffer, cursor: Int64, deleted: Bool
    ) {
        self.space = space
        self.id = id
        self.recordID = recordID
        self.size = size
        self.dek = dek
        self.cursor = cursor
        self.deleted = deleted
    }
}

extension PullMembership: WireMap {
    static let fields = WireFields(
        Self(space: "", cursor: 0, entries: []),
        .required("space", \.space), .required("cursor", \.cursor), .required("entries", \.entries))
}

extension PullFile: WireDecodable, WireEncodable {
    private enum Field: String, WireField {
        case space, id
        case recordID = "record_id"
        case size, dek, cursor, deleted

        static let table = WireFieldTable<Self>()
    }

    public init(from reader: inout CBORReader) throws(CBORError) {
        var space: String?
        var id: FileID?
        var recordID: RecordID?
        var size: Int64?
        var dek: ByteBuffer?
        var cursor: Int64?
        var deleted: Bool?
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .space: space = try reader.readText()
            case .id: id = try reader.readIdentifier()
            case .recordID: recordID = try reader.readIdentifier()
            case .size: size = try reader.readOptionalInt64()
            case .dek: dek = try reader.readBytes()
            case .cursor: cursor = try reader.readInt64()
            case .deleted: deleted = try reader.readOptionalBool()
            }
        }
        guard let space, let id, let recordID, let dek, let cursor else { throw .missingField }
        self.init(
            space: space, id: id, recordID: recordID, size: size ?? 0, dek: dek, cursor: cursor,
            deleted: deleted ?? false
        )
    }

    public func encode(to writer: inout CBORWriter) {
        writer.writeMap(5 + (self.size == 0 ? 0 : 1) + (self.deleted ? 1 : 0))
        writer.write(key: "space")
        writer.write(self.space)
        writer.write(key: "id")
        writer.write(self.id)
        writer.write(key: "record_id")
        writer.write(self.recordID)
        if self.size != 0 {
            writer.write(key: "size")
            writer.write(self.size)
        }
        writer.write(key: "dek")
        writer.write(self.dek)
        writer.write(key: "cursor")
        writer.write(self.cursor)
        if self.deleted {
            writer.write(key: "deleted")
            writer.write(true)
        }
    }
}
