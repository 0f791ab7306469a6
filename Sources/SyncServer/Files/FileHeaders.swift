import FoundationEssentials
import HTTPTypes
import NIOCore
import SyncProtocol
import SyncStorage

extension HTTPField.Name {
    /// Names of this service, written in lower case, which no character of them can make invalid.
    private static func ours(_ name: String) -> Self { Self(parsed: name) ?? .cookie }

    static let recordID = ours("x-record-id")
    static let wrappedDEK = ours("x-wrapped-dek")
}

/// What a file is recorded under, as headers of an upload (docs/contract/http.md §9.2 rows 1–5).
struct FileHeaders: Hashable, Sendable {
    let record: RecordID
    let wrappedDEK: ByteBuffer

    init(record: RecordID, wrappedDEK: ByteBuffer) {
        self.record = record
        self.wrappedDEK = wrappedDEK
    }

    init(_ headers: HTTPFields) throws(HTTPFailure) {
        guard let record = headers.readable(.recordID) else {
            throw HTTPFailure(.badRequest, "X-Record-ID header required")
        }
        guard let record = RecordID(anyUUIDText: record) else {
            throw HTTPFailure(.badRequest, "X-Record-ID must be a valid UUID")
        }
        guard let dek = headers.readable(.wrappedDEK) else {
            throw HTTPFailure(.badRequest, "X-Wrapped-DEK header required")
        }
        guard let bytes = Data(base64Encoded: dek), bytes.base64EncodedString() == dek else {
            throw HTTPFailure(.badRequest, "X-Wrapped-DEK must be valid base64")
        }
        guard bytes.count == Limits.wrappedDEKBytes else {
            throw HTTPFailure(
                .badRequest, "X-Wrapped-DEK must decode to exactly \(Limits.wrappedDEKBytes) bytes")
        }
        self.record = record
        self.wrappedDEK = ByteBuffer(bytes: bytes)
    }
}

extension HTTPFields {
    /// The first value of this name, if it is visible ASCII.
    func readable(_ name: HTTPField.Name) -> String? {
        guard let value = self[values: name].first,
            value.utf8.allSatisfy({ (0x20...0x7E).contains($0) || $0 == 0x09 })
        else { return nil }
        return value
    }

    /// Bytes that the body is declared to have (docs/contract/http.md §9.2 rows 6–8).
    ///
    /// - Parameter bytesMax: Bytes of one file.
    func declaredLength(atMost bytesMax: Int) throws(HTTPFailure) -> Int64 {
        guard let text = self[values: .contentLength].first else {
            throw HTTPFailure(.lengthRequired, "Content-Length required")
        }
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            throw HTTPFailure(.badRequest, "invalid Content-Length header")
        }
        guard let length = Int64(text), length <= bytesMax else { throw HTTPFailure.fileTooLarge(bytesMax) }
        return length
    }
}

extension HTTPFailure {
    static func fileTooLarge(_ bytesMax: Int) -> HTTPFailure {
        HTTPFailure(.contentTooLarge, "file exceeds \(bytesMax / 1_048_576) MB limit")
    }

    static let lengthMismatch = HTTPFailure(
        .badRequest, "Content-Length does not match request body length")
    static let recordNotFound = HTTPFailure(.badRequest, "record not found in this space")
    static let fileNotFound = HTTPFailure(.notFound, "file not found")
}
