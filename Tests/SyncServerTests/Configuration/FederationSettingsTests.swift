import SyncAuth
import Testing

@testable import SyncServer

@Suite("Federation and discovery settings")
struct FederationSettingsTests {
    private static let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    private static let id = "https://peer.example.com/.well-known/jwks.json#fed-1"

    private func read(_ environment: [String: String]) throws(ConfigurationErrors) -> ServerConfiguration {
        try ServerConfiguration.read(
            environment: environment.merging(["TRUSTED_ISSUERS": "https://a"]) { $1 }, readFile: { _ in "" })
    }

    private func errors(_ environment: [String: String]) -> [String] {
        do {
            _ = try self.read(environment)
            return []
        } catch {
            return error.errors.map(\.message)
        }
    }

    @Test("OC14: nothing is trusted by default, and the quotas are those of the contract")
    func defaults() throws {
        let federation = try self.read([:]).federation
        #expect(federation == FederationSettings())
        #expect(federation.trustedDomains.isEmpty && federation.trustedKeys.isEmpty)
        #expect(federation.tokenSecret == nil && federation.previousTokenSecret == nil)
        #expect(federation.spacesMax == 1_000)
        #expect(federation.recordsPerHour == 10_000)
        #expect(federation.bytesPerHour == 524_288_000)
        #expect(federation.invitationsPerHour == 100)
        #expect(federation.connectionsMax == 3)
    }

    @Test("OC15: domains are canonical and sorted; keys, secrets and quotas are taken")
    func everything() throws {
        let federation = try self.read([
            "FEDERATION_TRUSTED_DOMAINS": "PEER.example.com, other.example.com,,peer.example.com.:443",
            "FEDERATION_TRUSTED_KEYS": "\(Self.id)=\(Self.x)", "FEDERATION_FST_SECRET": " s1 ",
            "FEDERATION_FST_PREVIOUS_SECRET": "s0", "FEDERATION_MAX_SPACES": "1",
            "FEDERATION_MAX_RECORDS_PER_HOUR": " 2 ", "FEDERATION_MAX_BYTES_PER_HOUR": "3",
            "FEDERATION_MAX_INVITATIONS_PER_HOUR": "4", "FEDERATION_MAX_CONNECTIONS": "5",
        ]).federation
        #expect(federation.trustedDomains.map(\.description) == ["other.example.com", "peer.example.com"])
        #expect(federation.trustedKeys.map(\.id) == [Self.id])
        #expect(federation.trustedKeys.map(\.domain.description) == ["peer.example.com"])
        #expect(federation.trustedKeys.first?.publicKey == Base64URL.decode(Self.x))
        #expect(federation.tokenSecret?.reveal() == "s1")
        #expect(federation.previousTokenSecret?.reveal() == "s0")
        #expect(federation.spacesMax == 1 && federation.recordsPerHour == 2 && federation.bytesPerHour == 3)
        #expect(federation.invitationsPerHour == 4 && federation.connectionsMax == 5)
    }

    @Test("I15: the names of this server are canonical; blank ones are none; what leaves nothing is an error")
    func ownDomains() throws {
        let federation = try self.read([
            "FEDERATION_DOMAIN": " HTTPS://Sync.Example.com:443/ ", "IDENTITY_DOMAIN": "Example.com.",
        ]).federation
        #expect(federation.domain?.description == "sync.example.com")
        #expect(federation.identityDomain?.description == "example.com")
        #expect(federation.ownDomains.map(\.description).sorted() == ["example.com", "sync.example.com"])
        #expect(try self.read(["FEDERATION_DOMAIN": " ", "IDENTITY_DOMAIN": ""]).federation.ownDomains.isEmpty)
        #expect(try self.read(["FEDERATION_DOMAIN": "a:8443"]).federation.ownDomains.map(\.description) == ["a:8443"])
        let invalid = ["FEDERATION_DOMAIN": "https://", "IDENTITY_DOMAIN": ".."]
        #expect(
            self.errors(invalid) == [
                "invalid FEDERATION_DOMAIN \"https://\": no domain", "invalid IDENTITY_DOMAIN \"..\": no domain",
            ])
    }

    @Test("OC16: without a list, the domains are those of the keys; the last of two entries for one id counts")
    func derivedDomains() throws {
        let other = "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw"
        let federation = try self.read([
            "FEDERATION_TRUSTED_KEYS": "\(Self.id)=\(Self.x) http://b.example:5379/k#1=\(Self.x)\n\(Self.id)=\(other)"
        ]).federation
        #expect(federation.trustedDomains.map(\.description) == ["b.example", "peer.example.com"])
        #expect(federation.trustedKeys.map(\.id) == ["http://b.example:5379/k#1", Self.id])
        #expect(federation.trustedKeys.last?.publicKey == Base64URL.decode(other))
    }

    @Test("OC17: a key of a domain that is not in the list")
    func stranger() {
        #expect(
            self.errors([
                "FEDERATION_TRUSTED_DOMAINS": "other.example.com", "FEDERATION_TRUSTED_KEYS": "\(Self.id)=\(Self.x)",
            ]) == [
                #"FEDERATION_TRUSTED_KEYS domain "peer.example.com" is not listed in FEDERATION_TRUSTED_DOMAINS"#
            ])
    }

    @Test(
        "OC18: quotas are above zero; blank is the default",
        arguments: [
            "FEDERATION_MAX_SPACES", "FEDERATION_MAX_RECORDS_PER_HOUR", "FEDERATION_MAX_BYTES_PER_HOUR",
            "FEDERATION_MAX_INVITATIONS_PER_HOUR", "FEDERATION_MAX_CONNECTIONS",
        ])
    func quotas(name: String) throws {
        for text in ["0", "-1"] { #expect(self.errors([name: text]) == ["\(name) must be greater than zero"]) }
        #expect(self.errors([name: "abc"]) == ["invalid \(name) value \"abc\": not an integer"])
        #expect(try self.read([name: "  "]).federation == FederationSettings())
    }

    @Test(
        "OC19: wrong keys",
        arguments: [
            ("nonsense", #"invalid FEDERATION_TRUSTED_KEYS entry "nonsense""#),
            ("ftp://peer/x#f=\(x)", #"invalid federation key id "ftp://peer/x#f""#),
            ("https://.peer/x#f=\(x)", #"invalid federation key id "https://.peer/x#f""#),
            ("https://peer/x#f=not+base64", #"invalid federation key payload for "https://peer/x#f""#),
            ("https://peer/x#f=\(x)=", #"invalid federation key payload for "https://peer/x#f""#),
            ("https://peer/x#f=AAAA", #"federation key for "https://peer/x#f" must be 32 bytes"#),
            (
                "https://peer/x#f=AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                #"invalid federation key bytes for "https://peer/x#f""#
            ),
        ])
    func wrongKeys(text: String, message: String) {
        #expect(self.errors(["FEDERATION_TRUSTED_KEYS": text]) == [message])
    }

    @Test("The secret of subscribe tokens has an older name, which counts when the newer one is blank")
    func secrets() throws {
        let old = ["SPACE_SESSION_SECRET": "old"]
        #expect(try self.read(old).federation.tokenSecret?.reveal() == "old")
        #expect(
            try self.read(old.merging(["FEDERATION_FST_SECRET": " "]) { $1 }).federation.tokenSecret?.reveal() == "old")
        #expect(
            try self.read(old.merging(["FEDERATION_FST_SECRET": "n"]) { $1 }).federation.tokenSecret?.reveal() == "n")
    }

    @Test("Whoever configures federation is told that there is none yet")
    func warning() throws {
        let key = ["IDENTITY_HASH_KEY": String(repeating: "00", count: 32)]
        let warnings = try self.read(key.merging(["FEDERATION_FST_SECRET": "s"]) { $1 }).warnings
        #expect(
            warnings == ["federation is configured, but this version does not federate: other servers cannot connect"])
        #expect(try self.read(key.merging(["FEDERATION_MAX_SPACES": "5"]) { $1 }).warnings.isEmpty)
    }

    @Test("Addresses of discovery documents are absolute URLs of their scheme")
    func discovery() throws {
        let discovery = try self.read([
            "SYNC_ENDPOINT": "https://sync.example.com/api/v1", "ACCOUNTS_ENDPOINT": "https://accounts.example.com",
            "FEDERATION_WS_ENDPOINT": "wss://sync.example.com/f", "WEBFINGER_ENDPOINT": "",
            "DISCOVERY_JWKS_URI": "https://k",
        ]).discovery
        #expect(discovery.syncEndpoint == "https://sync.example.com/api/v1")
        #expect(discovery.accountsEndpoint == "https://accounts.example.com")
        #expect(discovery.federationWebSocketEndpoint == "wss://sync.example.com/f")
        #expect(discovery.webFingerEndpoint == nil)
        #expect(discovery.keySetURI == "https://k")
        #expect(
            self.errors([
                "SYNC_ENDPOINT": "https://h/", "FEDERATION_WS_ENDPOINT": "https://h", "ACCOUNTS_ENDPOINT": "h",
            ]) == [
                #"invalid SYNC_ENDPOINT "https://h/": must end in /api/v1"#,
                #"invalid ACCOUNTS_ENDPOINT "h": not an absolute URL"#,
                #"invalid FEDERATION_WS_ENDPOINT "https://h": must use ws or wss"#,
            ])
    }
}
