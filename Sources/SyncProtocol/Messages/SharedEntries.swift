public import NIOCore

/// Chunk `pull.membership` (docs/contract/rpc.md §5).
public struct PullMembership: Hashable, Sendable {
    public var space: String
    public var cursor: Int64
    /// Exactly one when the server sends it.
    public var entries: [Entry]

    public struct Entry: Hashable, Sendable {
        public var chainSequence: Int32
        /// `nil` on the first entry of a log.
        public var previousHash: ByteBuffer?
        public var entryHash: ByteBuffer
        public var payload: ByteBuffer

        public init(chainSequence: Int32, previousHash: ByteBuffer?, entryHash: ByteBuffer, payload: ByteBuffer) {
            self.chainSequence = chainSequence
            self.previousHash = previousHash
            self.entryHash = entryHash
            self.payload = payload
        }
    }

    public init(space: String, cursor: Int64, entries: [Entry]) {
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

extension PullMembership: WireDecodable, WireEncodable {
    private enum Field: String, WireField {
        case space, cursor, entries

        static let table = WireFieldTable<Self>()
    }

    public init(from reader: inout CBORReader) throws(CBORError) {
        var space: String?
        var cursor: Int64?
        var entries: [Entry]?
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .space: space = try reader.readText()
            case .cursor: cursor = try reader.readInt64()
            case .entries: entries = try reader.readArray(of: Entry.self)
            }
        }
        guard let space, let cursor, let entries else { throw .missingField }
        self.init(space: space, cursor: cursor, entries: entries)
    }

    public func encode(to writer: inout CBORWriter) {
        writer.writeMap(3)
        writer.write(key: "space")
        writer.write(self.space)
        writer.write(key: "cursor")
        writer.write(self.cursor)
        writer.write(key: "entries")
        writer.writeArray(of: self.entries)
    }
}

extension PullMembership.Entry: WireDecodable, WireEncodable {
    private enum Field: String, WireField {
        case chainSequence = "chain_seq"
        case previousHash = "prev_hash"
        case entryHash = "entry_hash"
        case payload

        static let table = WireFieldTable<Self>()
    }

    public init(from reader: inout CBORReader) throws(CBORError) {
        var chainSequence: Int32?
        var previousHash: ByteBuffer?
        var entryHash: ByteBuffer?
        var payload: ByteBuffer?
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .chainSequence: chainSequence = try reader.readInt32()
            case .previousHash: previousHash = try reader.readOptionalBytes()
            case .entryHash: entryHash = try reader.readBytes()
            case .payload: payload = try reader.readBytes()
            }
        }
        guard let chainSequence, let entryHash, let payload else { throw .missingField }
        self.init(chainSequence: chainSequence, previousHash: previousHash, entryHash: entryHash, payload: payload)
    }

    public func encode(to writer: inout CBORWriter) {
        writer.writeMap(self.previousHash == nil ? 3 : 4)
        writer.write(key: "chain_seq")
        writer.write(self.chainSequence)
        if let previousHash = self.previousHash {
            writer.write(key: "prev_hash")
            writer.write(previousHash)
        }
        writer.write(key: "entry_hash")
        writer.write(self.entryHash)
        writer.write(key: "payload")
        writer.write(self.payload)
    }
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
