import HTTPTypes
import Hummingbird

/// The routes of federation as they are while it is off: they exist, and have nothing to say (docs/contract/http.md §8,
/// docs/contract/federation.md §14.2).
enum FederationRoutes {
    static let all = [
        HTTPRoute([.get, .head], "/api/v1/federation/trusted", handler: Self.off),
        HTTPRoute([.get, .head], "/api/v1/federation/status/{domain}", handler: Self.off),
        HTTPRoute([.post], "/api/v1/federation/challenge", isPublic: true, handler: Self.off),
    ]

    @Sendable
    private static func off(_ request: Request, _ context: SyncRequestContext) async throws -> Response {
        Response(status: .notFound)
    }
}
