/// What the discovery documents say (docs/contract/http.md §6). Every address is an absolute http(s) or ws(s) URL.
package struct DiscoverySettings: Hashable, Sendable {
    /// `SYNC_ENDPOINT`, ends in `/api/v1`. Without it there are no documents.
    package var syncEndpoint: String?
    /// `ACCOUNTS_ENDPOINT`; otherwise the first trusted issuer.
    package var accountsEndpoint: String?
    /// `FEDERATION_WS_ENDPOINT`; otherwise made from `syncEndpoint`.
    package var federationWebSocketEndpoint: String?
    /// `WEBFINGER_ENDPOINT`; otherwise made from the accounts endpoint.
    package var webFingerEndpoint: String?
    /// `DISCOVERY_JWKS_URI`; otherwise made from the accounts endpoint.
    package var keySetURI: String?

    package init() {}
}
