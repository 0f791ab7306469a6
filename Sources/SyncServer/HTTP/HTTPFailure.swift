import FoundationEssentials
import HTTPTypes
package import Hummingbird
import NIOCore

/// A response that is not a success: status and message as the contract lists them.
package struct HTTPFailure: Error, Hashable, Sendable {
    package let status: HTTPResponse.Status
    package let message: String

    package init(_ status: HTTPResponse.Status, _ message: String) {
        self.status = status
        self.message = message
    }

    static let internalError = HTTPFailure(.internalServerError, "internal error")

    /// `{"error":"<message>"}` (docs/contract/http.md §2.2).
    var response: Response { .json(["error": self.message], status: self.status) }
}

extension Response {
    /// A JSON object with its keys in alphabetical order.
    package static func json(_ value: some Encodable, status: HTTPResponse.Status = .ok) -> Response {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        guard let bytes = try? encoder.encode(value) else { return Response(status: .internalServerError) }
        return .json(bytes: ByteBuffer(bytes: bytes), status: status)
    }

    /// A response whose JSON text is known.
    package static func json(text: String, status: HTTPResponse.Status = .ok) -> Response {
        .json(bytes: ByteBuffer(string: text), status: status)
    }

    private static func json(bytes: ByteBuffer, status: HTTPResponse.Status) -> Response {
        Response(
            status: status, headers: [.contentType: "application/json"], body: ResponseBody(byteBuffer: bytes))
    }
}
