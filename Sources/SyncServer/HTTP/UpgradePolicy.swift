import NIOHTTP1
import SyncProtocol
import SyncTransport

/// Who a WebSocket is, from the upgrade on.
struct WebSocketTicket: Sendable {
    let family: ProtocolFamily
    let admission: AdmissionTicket
}

/// Decides on upgrades of the two WebSocket paths (docs/contract/http.md §7); every other request is the application's.
struct UpgradePolicy: Sendable {
    let families: [ProtocolFamily]
    let hasTokenValidator: Bool
    let admission: AdmissionControl
    let isShuttingDown: @Sendable () -> Bool

    func decide(_ request: HTTPRequestHead) -> HTTPFrontDecision<WebSocketTicket> {
        let path = request.uri.prefix { $0 != "?" }
        let isClient = path == PublicRoutes.webSocketPath
        // Other methods get 204 or 405 from the application.
        guard isClient || path == PublicRoutes.federationWebSocketPath, request.method == .GET else { return .pass }
        let conditions = WebSocketUpgradeConditions(
            families: self.families, hasTokenValidator: self.hasTokenValidator, isServed: isClient,
            isShuttingDown: self.isShuttingDown())
        switch WebSocketUpgrade.evaluate(request, conditions) {
        case .accept(let family):
            guard let admission = self.admission.admit() else { return .respond(.init(.serviceUnavailable)) }
            let ticket = WebSocketTicket(family: family, admission: admission)
            return .upgrade(subprotocol: family.subprotocol, ticket: ticket)
        case .methodNotAllowed: return .respond(.init(.methodNotAllowed, headers: ["Allow": "GET"]))
        case .notAHandshake(let fault): return .respond(.init(.badRequest, body: fault))
        case .cannotUpgrade:
            return .respond(.init(.upgradeRequired, headers: ["Upgrade": "websocket"], body: "HTTP/1.1 is required"))
        case .noSubprotocol: return .respond(.init(.badRequest))
        case .notConfigured: return .respond(.init(.notImplemented))
        case .federationOff: return .respond(.init(.notFound))
        case .shuttingDown: return .respond(.init(.serviceUnavailable))
        }
    }

    /// Row 7 of docs/contract/http.md §9.2. The parser finds it, so it comes before all other checks.
    static let invalidContentLength = HTTPFrontResponse(
        .badRequest, headers: ["Content-Type": "application/json"], body: #"{"error":"invalid Content-Length header"}"#)

    /// docs/contract/http.md §2.1.
    static let commonHeaders: HTTPHeaders = [
        "X-Protocol-Version": "1",
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": "GET, PUT, HEAD, POST, OPTIONS",
        "Access-Control-Allow-Headers":
            "Content-Type, Content-Length, Authorization, X-UCAN, X-Wrapped-DEK, X-Record-ID",
        "Access-Control-Expose-Headers": "X-Wrapped-DEK",
        "Access-Control-Max-Age": "86400",
    ]
}
