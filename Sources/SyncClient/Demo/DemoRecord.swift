import NIOCore
import SyncProtocol

/// Plaintext of one record of a demo run.
enum DemoRecord: Hashable, Sendable {
    case part(DemoPart)
    case manifest(DemoManifest)
}

/// A stretch of a file. The parts of a file follow each other without another file between them.
struct DemoPart: Hashable, Sendable {
    static let dataBytesMax = 1_048_576

    enum End: Hashable, Sendable {
        /// SHA-256 of the whole file.
        case complete(ByteBuffer)
        /// The file changed while it was read: what came of it is to be forgotten.
        case abandoned
    }

    /// Relative to the folder, `/` between the names.
    var path: String
    /// From 0.
    var index: Int64
    /// Size of the whole file when it was opened.
    var fileBytes: Int64
    /// At most `dataBytesMax` bytes.
    var data: ByteBuffer
    /// Set in the last part.
    var end: End?
}

/// The last record of a run: what a device must have when it has everything.
struct DemoManifest: Hashable, Sendable {
    var files: Int64
    var bytes: Int64
    /// Records before this one.
    var records: Int64
    /// `DemoDigest` over the files.
    var digest: ByteBuffer
}

// MARK: - Encoding

extension DemoRecord: WireEncodable, WireDecodable {
    private enum Field: String, WireField {
        case part, manifest

        static let table = WireFieldTable<Self>()
    }

    func encode(to writer: inout CBORWriter) {
        writer.writeMap(1)
        switch self {
        case .part(let part):
            writer.write(key: "part")
            part.encode(to: &writer)
        case .manifest(let manifest):
            writer.write(key: "manifest")
            manifest.encode(to: &writer)
        }
    }

    init(from reader: inout CBORReader) throws(CBORError) {
        var record: DemoRecord?
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .part: record = .part(try DemoPart(from: &reader))
            case .manifest: record = .manifest(try DemoManifest(from: &reader))
            }
        }
        guard let record else { throw .missingField }
        self = record
    }

    var encoded: ByteBuffer {
        var capacity = 256
        if case .part(let part) = self { capacity += part.data.readableBytes + part.path.utf8.count }
        var writer = CBORWriter(capacity: capacity)
        self.encode(to: &writer)
        return writer.buffer
    }

    /// - Throws: For bytes behind the record as well.
    init(encoded: ByteBuffer) throws(CBORError) {
        var reader = CBORReader(encoded)
        try self.init(from: &reader)
        guard reader.remainingBytes == 0 else { throw .malformed }
    }
}

extension DemoPart: WireEncodable, WireDecodable {
    private enum Field: String, WireField {
        case path, index
        case fileBytes = "file_bytes"
        case data, sha256, abandoned

        static let table = WireFieldTable<Self>()
    }

    func encode(to writer: inout CBORWriter) {
        writer.writeMap(self.end == nil ? 4 : 5)
        writer.write(key: "path")
        writer.write(self.path)
        writer.write(key: "index")
        writer.write(self.index)
        writer.write(key: "file_bytes")
        writer.write(self.fileBytes)
        writer.write(key: "data")
        writer.write(self.data)
        switch self.end {
        case nil: break
        case .complete(let hash):
            writer.write(key: "sha256")
            writer.write(hash)
        case .abandoned:
            writer.write(key: "abandoned")
            writer.write(true)
        }
    }

    init(from reader: inout CBORReader) throws(CBORError) {
        var path: String?
        var index: Int64?
        var fileBytes: Int64?
        var data: ByteBuffer?
        var hash: ByteBuffer?
        var isAbandoned = false
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .path: path = try reader.readText()
            case .index: index = try reader.readInt64()
            case .fileBytes: fileBytes = try reader.readInt64()
            case .data: data = try reader.readBytes()
            case .sha256: hash = try reader.readBytes()
            case .abandoned: isAbandoned = try reader.readBool()
            }
        }
        guard let path, let index, let fileBytes, let data else { throw .missingField }
        let end: End? = isAbandoned ? .abandoned : hash.map { .complete($0) }
        self.init(path: path, index: index, fileBytes: fileBytes, data: data, end: end)
    }
}

extension DemoManifest: WireEncodable, WireDecodable {
    private enum Field: String, WireField {
        case files, bytes, records, digest

        static let table = WireFieldTable<Self>()
    }

    func encode(to writer: inout CBORWriter) {
        writer.writeMap(4)
        writer.write(key: "files")
        writer.write(self.files)
        writer.write(key: "bytes")
        writer.write(self.bytes)
        writer.write(key: "records")
        writer.write(self.records)
        writer.write(key: "digest")
        writer.write(self.digest)
    }

    init(from reader: inout CBORReader) throws(CBORError) {
        var files: Int64?
        var bytes: Int64?
        var records: Int64?
        var digest: ByteBuffer?
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .files: files = try reader.readInt64()
            case .bytes: bytes = try reader.readInt64()
            case .records: records = try reader.readInt64()
            case .digest: digest = try reader.readBytes()
            }
        }
        guard let files, let bytes, let records, let digest else { throw .missingField }
        self.init(files: files, bytes: bytes, records: records, digest: digest)
    }
}
