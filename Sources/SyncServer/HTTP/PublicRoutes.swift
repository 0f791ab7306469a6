import HTTPTypes
import Hummingbird

/// Routes that need no credentials.
enum PublicRoutes {
    static let webSocketPath = "/api/v1/ws"
    static let federationWebSocketPath = "/api/v1/federation/ws"

    static func all(
        health: HealthProbe, details: (@Sendable () -> HealthDetails)? = nil,
        isShuttingDown: @escaping @Sendable () -> Bool
    ) -> [HTTPRoute] {
        [
            HTTPRoute([.get, .head], "/health", isPublic: true) { _, _ in
                guard !isShuttingDown() else { return self.unhealthy("shutting down") }
                guard await health.check() else { return self.unhealthy("database unavailable") }
                guard let details else { return .json(text: #"{"status":"healthy"}"#) }
                return .json(details())
            },
            // For an orchestrator: the process serves. It says nothing of the database, whose loss no restart mends.
            HTTPRoute([.get, .head], "/livez", isPublic: true) { _, _ in .json(text: #"{"status":"alive"}"#) },
            // Whether requests should come here. The schema is current, or nothing would listen.
            HTTPRoute([.get, .head], "/readyz", isPublic: true) { _, _ in
                guard !isShuttingDown() else { return self.unready("shutting down") }
                guard await health.check() else { return self.unready("database unavailable") }
                return .json(text: #"{"status":"ready"}"#)
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

    private static func unready(_ error: StaticString) -> Response {
        .json(text: #"{"status":"not ready","error":"\#(error)"}"#, status: .serviceUnavailable)
    }

    /// Members in the order of docs/contract/http.md §4.
    private static func unhealthy(_ error: StaticString) -> Response {
        .json(text: #"{"status":"unhealthy","error":"\#(error)"}"#, status: .serviceUnavailable)
    }
}
