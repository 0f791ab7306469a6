import Hummingbird
import SyncProtocol

/// Where clients find everything, from one host name (docs/contract/http.md §6).
struct DiscoveryDocument: Encodable, Equatable {
    var version = 1
    var federation: Bool
    var accountsEndpoint: String
    var syncEndpoint: String
    var federationWS: String
    var jwksURI: String
    var webFinger: String
    var protocols: [String]
    var powRequired = false

    private enum CodingKeys: String, CodingKey {
        case version, federation, protocols
        case accountsEndpoint = "accounts_endpoint"
        case syncEndpoint = "sync_endpoint"
        case federationWS = "federation_ws"
        case jwksURI = "jwks_uri"
        case webFinger = "webfinger"
        case powRequired = "pow_required"
    }

    /// - Parameters:
    ///   - family: Whose document it is; its protocol comes first.
    ///   - issuers: The trusted ones; the first is the accounts service unless another is configured.
    ///   - federates: Whether other servers can connect.
    /// - Returns: `nil` without `SYNC_ENDPOINT`, and with neither issuer nor accounts service.
    init?(_ settings: DiscoverySettings, family: ProtocolFamily, issuers: [String], federates: Bool) {
        guard let sync = settings.syncEndpoint, let accounts = settings.accountsEndpoint ?? issuers.first else {
            return nil
        }
        var service = accounts[...]
        while service.last == "/" { service.removeLast() }
        self.federation = federates
        self.accountsEndpoint = accounts
        self.syncEndpoint = sync
        self.federationWS = settings.federationWebSocketEndpoint ?? (federates ? Self.webSocket(of: sync) : "")
        self.jwksURI = settings.keySetURI ?? "\(service)/.well-known/jwks.json"
        self.webFinger = settings.webFingerEndpoint ?? "\(service)/.well-known/webfinger"
        self.protocols = ([family] + ProtocolFamily.allCases.filter { $0 != family }).map(\.subprotocol)
    }

    /// Both documents, or nothing when discovery is off.
    static func routes(_ configuration: ServerConfiguration, issuers: [String]) -> [HTTPRoute] {
        [(ProtocolFamily.less, "less-platform"), (.betterbase, "betterbase")].compactMap { family, name in
            // This version does not federate, whatever is configured.
            let document = DiscoveryDocument(
                configuration.discovery, family: family, issuers: issuers, federates: false)
            guard let document else { return nil }
            return HTTPRoute([.get, .head], "/.well-known/\(name)", isPublic: true) { _, _ in
                var response = Response.json(document)
                response.headers[.cacheControl] = HTTPRoute.publicDocumentCaching
                return response
            }
        }
    }

    /// http becomes ws, https wss.
    private static func webSocket(of syncEndpoint: String) -> String {
        "ws" + syncEndpoint.dropFirst("http".count) + "/federation/ws"
    }
}
