public import NIOCore

/// `deks.get` and `file.deks.get` (docs/contract/rpc.md §11.1, §11.3).
public struct DEKsGetParams: Hashable, Sendable {
    /// As sent; not yet known to be a UUID.
    public var space: String
    /// Empty when absent.
    public var ucan: String
    /// Only records or files with a cursor above it are listed.
    public var since: Int64

    public init(space: String, ucan: String = "", since: Int64 = 0) {
        self.space = space
        self.ucan = ucan
        self.since = since
    }
}

/// Chunk `deks.record`, and an element of the result of `deks.get`.
public struct RecordDEKEntry: Hashable, Sendable {
    public var id: RecordID
    public var dek: ByteBuffer
    /// Of the record; `seq` on the wire.
    public var cursor: Int64

    public init(id: RecordID, dek: ByteBuffer, cursor: Int64) {
        self.id = id
        self.dek = dek
        self.cursor = cursor
    }
}

/// Chunk `deks.files.record`, and an element of the result of `file.deks.get`.
public struct FileDEKEntry: Hashable, Sendable {
    public var id: FileID
    public var dek: ByteBuffer
    /// Of the file.
    public var cursor: Int64

    public init(id: FileID, dek: ByteBuffer, cursor: Int64) {
        self.id = id
        self.dek = dek
        self.cursor = cursor
    }
}

/// Result of `deks.get` and `file.deks.get`, whose chunks carry the same DEKs.
public struct DEKsGetResult<Entry: Hashable & Sendable>: Hashable, Sendable {
    /// By cursor, then id; empty when all would not fit into one message (docs/contract/rpc.md §2.6).
    public var deks: [Entry]
    /// Chunks sent ahead.
    public var chunks: Int64

    public init(deks: [Entry], chunks: Int64) {
        self.deks = deks
        self.chunks = chunks
    }
}

/// `deks.rewrap` and `file.deks.rewrap` (docs/contract/rpc.md §11.2, §11.4).
public struct DEKsRewrapParams: Hashable, Sendable {
    /// As sent; not yet known to be a UUID.
    public var space: String
    /// Empty when absent.
    public var ucan: String
    public var deks: [Item]

    public struct Item: Hashable, Sendable {
        /// As sent; not yet known to be a UUID.
        public var id: String
        /// A slice of the received frame, to be `Limits.wrappedDEKBytes` long.
        public var dek: ByteBuffer

        public init(id: String, dek: ByteBuffer) {
            self.id = id
            self.dek = dek
        }
    }

    public init(space: String, ucan: String = "", deks: [Item]) {
        self.space = space
        self.ucan = ucan
        self.deks = deks
    }
}

/// Result of `deks.rewrap` and `file.deks.rewrap`.
public struct DEKsRewrapResult: Hashable, Sendable {
    /// Always true: a failure is an error response.
    public var ok: Bool
    /// Items of the request.
    public var count: Int64

    public init(ok: Bool = true, count: Int64) {
        self.ok = ok
        self.count = count
    }
}

extension DEKsGetParams: WireMap {
    static let fields = WireFields(
        Self(space: ""),
        .optional("ucan", \.ucan, unless: ""), .optional("since", \.since, unless: 0), .required("space", \.space))
}

extension DEKsRewrapParams: WireMap {
    static let fields = WireFields(
        Self(space: "", deks: []),
        .required("deks", \.deks), .optional("ucan", \.ucan, unless: ""), .required("space", \.space))
}

extension DEKsRewrapParams.Item: WireMap {
    static let fields = WireFields(
        Self(id: "", dek: ByteBuffer()), .required("id", \.id), .required("dek", \.dek))
}

extension DEKsRewrapResult: WireMap {
    static let fields = WireFields(
        Self(count: 0), .required("ok", \.ok), .required("count", \.count))
}

extension RecordDEKEntry: WireMap {
    static let fields = WireFields(
        Self(id: RecordID(bits: 0), dek: ByteBuffer(), cursor: 0),
        .required("id", \.id), .required("dek", \.dek), .required("seq", \.cursor))
}

extension FileDEKEntry: WireMap {
    static let fields = WireFields(
        Self(id: FileID(bits: 0), dek: ByteBuffer(), cursor: 0),
        .required("id", \.id), .required("dek", \.dek), .required("cursor", \.cursor))
}

extension DEKsGetResult: WireDecodable where Entry: WireDecodable {
    public init(from reader: inout CBORReader) throws(CBORError) {
        var deks: [Entry]?
        var chunks: Int64?
        var map = try reader.readMap(of: DEKsGetField.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .deks: deks = try reader.readArray(of: Entry.self)
            case .chunks: chunks = try reader.readOptionalInt64()
            }
        }
        guard let deks else { throw .missingField }
        self.init(deks: deks, chunks: chunks ?? 0)
    }
}

extension DEKsGetResult: WireEncodable where Entry: WireEncodable {
    public func encode(to writer: inout CBORWriter) {
        writer.writeMap(2)
        writer.write(key: "deks")
        writer.writeArray(of: self.deks)
        writer.write(key: "_chunks")
        writer.write(self.chunks)
    }
}

/// A generic type cannot hold the table.
private enum DEKsGetField: String, WireField {
    case deks
    case chunks = "_chunks"

    static let table = WireFieldTable<Self>()
}
