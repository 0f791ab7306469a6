import FoundationEssentials
import HTTPTypes
import Hummingbird
import NIOCore

// Header fields of resumable uploads, draft-ietf-httpbis-resumable-upload-12.

extension HTTPField.Name {
    private static func upload(_ name: String) -> Self { Self(parsed: name) ?? .cookie }

    static let uploadComplete = upload("upload-complete")
    static let uploadOffset = upload("upload-offset")
    static let uploadLength = upload("upload-length")
    static let uploadLimit = upload("upload-limit")
    static let uploadDraftInteropVersion = upload("upload-draft-interop-version")
    static let acceptPatch = upload("accept-patch")
}

/// What a request says of the upload that it is part of. A field of another shape counts as missing, as the draft demands.
struct UploadFields: Hashable, Sendable {
    /// The interoperability version of the draft; a client that names another one expects something else.
    static let interopVersion = "8"

    /// Whether the upload is whole with this request.
    let completes: Bool
    let offset: Int64?
    /// Bytes of the whole file.
    let length: Int64?
    /// Bytes of this request; `nil` for chunks.
    let contentLength: Int64?

    init(_ headers: HTTPFields) throws(HTTPFailure) {
        if let version = headers.readable(.uploadDraftInteropVersion), version != Self.interopVersion {
            throw HTTPFailure(.badRequest, "unsupported Upload-Draft-Interop-Version")
        }
        switch headers.readable(.uploadComplete).map(Self.item) {
        case "?1": self.completes = true
        case "?0": self.completes = false
        default: throw HTTPFailure(.badRequest, "Upload-Complete header required")
        }
        self.offset = headers.readable(.uploadOffset).flatMap(Self.integer)
        self.length = headers.readable(.uploadLength).flatMap(Self.integer)
        self.contentLength = headers[values: .contentLength].first.flatMap(Self.integer)
    }

    /// A bare item of a structured field; its parameters mean nothing here (RFC 9651 §3.3).
    private static func item(_ text: String) -> Substring {
        let end = text.firstIndex { $0 == ";" || $0 == " " } ?? text.endIndex
        return text[..<end]
    }

    private static func integer(_ text: String) -> Int64? {
        let digits = Self.item(text)
        guard (1...15).contains(digits.utf8.count), digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return nil
        }
        return Int64(digits)
    }
}

/// A refusal with a problem type of the draft (RFC 9457).
struct UploadProblem: Error, Hashable, Sendable, Encodable {
    enum Kind: String, Sendable {
        case mismatchingOffset = "mismatching-upload-offset"
        case inconsistentLength = "inconsistent-upload-length"
        case completed = "completed-upload"

        var title: String {
            switch self {
            case .mismatchingOffset: "offset from request does not match offset of resource"
            case .inconsistentLength: "inconsistent length values for upload"
            case .completed: "upload is already completed"
            }
        }
    }

    let kind: Kind
    /// Of the resource, and of the request; for `.mismatchingOffset`.
    var expectedOffset: Int64?
    var providedOffset: Int64?

    private enum CodingKeys: String, CodingKey {
        case type, title
        case expectedOffset = "expected-offset"
        case providedOffset = "provided-offset"
    }

    func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode("https://iana.org/assignments/http-problem-types#\(self.kind.rawValue)", forKey: .type)
        try values.encode(self.kind.title, forKey: .title)
        try values.encodeIfPresent(self.expectedOffset, forKey: .expectedOffset)
        try values.encodeIfPresent(self.providedOffset, forKey: .providedOffset)
    }

    var response: Response {
        var response = Response.json(self, status: self.kind == .mismatchingOffset ? .conflict : .badRequest)
        response.headers[.contentType] = "application/problem+json"
        if let offset = self.expectedOffset { response.headers[.uploadOffset] = String(offset) }
        if self.kind == .completed { response.headers[.uploadComplete] = "?1" }
        return response
    }
}
