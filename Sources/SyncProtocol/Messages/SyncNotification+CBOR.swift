extension SyncNotification: WireDecodable, WireEncodable {
    private enum Field: String, WireField {
        case space, prev, cursor
        case keyGeneration = "key_generation"
        case rewrapEpoch = "rewrap_epoch"
        case records

        static let table = WireFieldTable<Self>()
    }

    public init(from reader: inout CBORReader) throws(CBORError) {
        var space: SpaceID?
        var prev: Int64?
        var cursor: Int64?
        var keyGeneration: Int32?
        var rewrapEpoch: Int32?
        var records: [RecordEntry]?
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .space: space = try reader.readIdentifier()
            case .prev: prev = try reader.readInt64()
            case .cursor: cursor = try reader.readInt64()
            case .keyGeneration: keyGeneration = try reader.readInt32()
            case .rewrapEpoch: rewrapEpoch = try reader.readOptionalInt32()
            case .records: records = try reader.readArray(of: RecordEntry.self)
            }
        }
        guard let space, let prev, let cursor, let keyGeneration, let records else { throw .missingField }
        self.init(
            space: space, prev: prev, cursor: cursor, keyGeneration: keyGeneration, rewrapEpoch: rewrapEpoch,
            records: records
        )
    }

    public func encode(to writer: inout CBORWriter) {
        writer.writeMap(self.rewrapEpoch == nil ? 5 : 6)
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
        writer.write(key: "records")
        writer.writeArray(of: self.records)
    }

    /// Says only that there is something to pull; for a notification that would be too large
    /// (docs/contract/rpc.md §2.6).
    public var nudge: SyncNotification {
        var nudge = self
        nudge.prev = self.cursor
        nudge.records = []
        return nudge
    }
}
