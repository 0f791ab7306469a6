import HTTPTypes
import Hummingbird
import NIOCore

/// The routes of the development issuer (docs/contract/operations.md §1.1).
enum DevRoutes {
    static func all(_ issuer: DevIssuer) -> [HTTPRoute] {
        [
            HTTPRoute([.post], "/dev/token", isPublic: true) { request, _ in
                let body = try await request.body.collect(upTo: DevIssuer.requestBytesMax)
                let answer = issuer.handleTokenRequest(body: body)
                return self.json(answer.body, HTTPResponse.Status(code: answer.status))
            },
            HTTPRoute([.get, .head], "/dev/.well-known/jwks.json", isPublic: true) { _, _ in
                self.json(issuer.jwksDocument, .ok)
            },
        ]
    }

    private static func json(_ body: ByteBuffer, _ status: HTTPResponse.Status) -> Response {
        Response(
            status: status, headers: [.contentType: "application/json", .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: body))
    }
}
