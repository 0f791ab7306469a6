import NIOCore

extension PushParams: WireDecodable, WireEncodable {
    private enum Field: String, WireField {
        case space, ucan, changes

        static let table = WireFieldTable<Self>()
    }

    public init(from reader: inout CBORReader) throws(CBORError) {
        var space: String?
        var ucan: String?
        var changes: [Change]?
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .space: space = try reader.readText()
            case .ucan: ucan = try reader.readOptionalText()
            case .changes: changes = try reader.readArray(of: Change.self)
            }
        }
        guard let space, let changes else { throw .missingField }
        self.init(space: space, ucan: ucan ?? "", changes: changes)
    }

    public func encode(to writer: inout CBORWriter) {
        writer.writeMap(self.ucan.isEmpty ? 2 : 3)
        if !self.ucan.isEmpty {
            writer.write(key: "ucan")
            writer.write(self.ucan)
        }
        writer.write(key: "space")
        writer.write(self.space)
        writer.write(key: "changes")
        writer.writeArray(of: self.changes)
    }
}

extension PushParams.Change: WireDecodable, WireEncodable {
    private enum Field: String, WireField {
        case id, blob
        case expectedCursor = "expected_cursor"
        case dek

        static let table = WireFieldTable<Self>()
    }

    public init(from reader: inout CBORReader) throws(CBORError) {
        var id: String?
        var blob: ByteBuffer?
        var expectedCursor: Int64?
        var dek: ByteBuffer?
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .id: id = try reader.readText()
            case .blob: blob = try reader.readOptionalBytes()
            case .expectedCursor: expectedCursor = try reader.readInt64()
            case .dek: dek = try reader.readOptionalBytes()
            }
        }
        guard let id, let expectedCursor else { throw .missingField }
        self.init(id: id, blob: blob, expectedCursor: expectedCursor, dek: dek)
    }

    /// A deletion is written with `blob` null, as the SDK does.
    public func encode(to writer: inout CBORWriter) {
        writer.writeMap(self.dek == nil ? 3 : 4)
        writer.write(key: "id")
        writer.write(self.id)
        if let dek = self.dek {
            writer.write(key: "dek")
            writer.write(dek)
        }
        writer.write(key: "blob")
        if let blob = self.blob { writer.write(blob) } else { writer.writeNull() }
        writer.write(key: "expected_cursor")
        writer.write(self.expectedCursor)
    }
}

extension PushResult: WireDecodable, WireEncodable {
    private enum Field: String, WireField {
        case ok, cursor, error

        static let table = WireFieldTable<Self>()
    }

    public init(from reader: inout CBORReader) throws(CBORError) {
        var ok: Bool?
        var cursor: Int64?
        var error: RPCErrorCode?
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .ok: ok = try reader.readBool()
            case .cursor: cursor = try reader.readOptionalInt64()
            case .error: if try !reader.readNil() { error = try RPCErrorCode(from: &reader) }
            }
        }
        switch (ok, error) {
        case (true, _): self = .accepted(cursor: cursor ?? 0)
        case (false, let error?): self = .refused(error)
        default: throw .missingField
        }
    }

    public func encode(to writer: inout CBORWriter) {
        switch self {
        case .accepted(let cursor):
            writer.writeMap(cursor == 0 ? 1 : 2)
            writer.write(key: "ok")
            writer.write(true)
            if cursor != 0 {
                writer.write(key: "cursor")
                writer.write(cursor)
            }
        case .refused(let code):
            writer.writeMap(2)
            writer.write(key: "ok")
            writer.write(false)
            writer.write(key: "error")
            writer.write(code.rawValue)
        }
    }
}
