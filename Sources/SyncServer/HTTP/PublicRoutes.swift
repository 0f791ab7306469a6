import HTTPTypes
import Hummingbird

/// Routes that need no credentials.
enum PublicRoutes {
    static let webSocketPath = "/api/v1/ws"
    static let federationWebSocketPath = "/api/v1/federation/ws"

    static func all(health: HealthProbe, isShuttingDown: @escaping @Sendable () -> Bool) -> [HTTPRoute] {
        [
            HTTPRoute([.get, .head], "/health", isPublic: true) { _, _ in
                guard !isShuttingDown() else { return self.unhealthy("shutting down") }
                guard await health.check() else { return self.unhealthy("database unavailable") }
                return .json(text: #"{"status":"healthy"}"#)
            },
            self.webSocket(self.webSocketPath),
            self.webSocket(self.federationWebSocketPath),
        ]
    }

    /// Upgrades are decided in front of the application, so that a GET seldom comes here: with a request target in absolute
    /// form, for one.
    private static func webSocket(_ path: String) -> HTTPRoute {
        HTTPRoute([.get], path, isPublic: true) { _, _ in Response(status: .badRequest) }
    }

    /// Members in the order of docs/contract/http.md §4.
    private static func unhealthy(_ error: StaticString) -> Response {
        .json(text: #"{"status":"unhealthy","error":"\#(error)"}"#, status: .serviceUnavailable)
    }
}
