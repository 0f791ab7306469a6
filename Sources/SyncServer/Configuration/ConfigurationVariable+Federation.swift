import SyncAuth

extension ConfigurationVariable {
    static let discovery: [ConfigurationVariable] = [
        .url(
            "SYNC_ENDPOINT",
            help: "Address of this server for clients, ending in /api/v1; turns discovery documents on",
            sets: \.discovery.syncEndpoint,
            problem: { $0.hasSuffix("/api/v1") ? nil : "must end in /api/v1" }),
        .url(
            "ACCOUNTS_ENDPOINT", help: "Address of the accounts service in discovery documents",
            note: "Otherwise the first trusted issuer", sets: \.discovery.accountsEndpoint),
        .url(
            "FEDERATION_WS_ENDPOINT", schemes: ["ws", "wss"], help: "Address for other servers in discovery documents",
            note: "Otherwise made from `SYNC_ENDPOINT`", sets: \.discovery.federationWebSocketEndpoint),
        .url(
            "WEBFINGER_ENDPOINT", help: "Address of WebFinger in discovery documents",
            note: "Otherwise `/.well-known/webfinger` of the accounts service", sets: \.discovery.webFingerEndpoint),
        .url(
            "DISCOVERY_JWKS_URI", help: "Address of the issuer's key set in discovery documents",
            note: "Otherwise `/.well-known/jwks.json` of the accounts service", sets: \.discovery.keySetURI),
    ]

    static let federation: [ConfigurationVariable] = [
        .domain(
            "FEDERATION_DOMAIN", help: "Domain under which other servers reach this one, perhaps with a port",
            note: "An invitation that names it as its server is kept here", sets: \.federation.domain),
        .domain(
            "IDENTITY_DOMAIN", help: "Domain of this server's users, as in user@domain",
            note: "An invitation that names it as its server is kept here", sets: \.federation.identityDomain),
        ConfigurationVariable(
            "FEDERATION_TRUSTED_DOMAINS", default: "", valueName: "LIST",
            help: "Domains of trusted servers, separated by commas", note: "Otherwise taken from the keys",
            sets: \.federation.trustedDomains, parse: Self.trustedDomains),
        ConfigurationVariable(
            "FEDERATION_TRUSTED_KEYS", default: "", valueName: "LIST",
            help: "Keys of trusted servers, separated by white space, each key_id=key",
            note: "As `less-sync federation-keygen` prints them; the key is Ed25519, 32 bytes in base64url",
            sets: \.federation.trustedKeys, parse: Self.trustedKeys),
        ConfigurationVariable(
            "FEDERATION_FST_SECRET", valueName: "TEXT",
            help: "Secret behind the tokens with which other servers subscribe", isSecret: true,
            sets: \.federation.federationSecret, parse: Self.secret),
        ConfigurationVariable(
            "SPACE_SESSION_SECRET", valueName: "TEXT", help: "The older name of FEDERATION_FST_SECRET, which wins",
            isSecret: true, sets: \.federation.sessionSecret, parse: Self.secret),
        ConfigurationVariable(
            "FEDERATION_FST_PREVIOUS_SECRET", valueName: "TEXT",
            help: "The secret before, still accepted; needs FEDERATION_FST_SECRET", isSecret: true,
            sets: \.federation.previousTokenSecret, parse: Self.secret),
        .quota("FEDERATION_MAX_SPACES", default: 1_000, help: "Spaces of one peer", sets: \.federation.spacesMax),
        .quota(
            "FEDERATION_MAX_RECORDS_PER_HOUR", default: 10_000, help: "Records of one peer in an hour",
            sets: \.federation.recordsPerHour),
        .quota(
            "FEDERATION_MAX_BYTES_PER_HOUR", default: 524_288_000, help: "Bytes of one peer in an hour",
            sets: \.federation.bytesPerHour),
        .quota(
            "FEDERATION_MAX_INVITATIONS_PER_HOUR", default: 100, help: "Invitations of one peer in an hour",
            sets: \.federation.invitationsPerHour),
        .quota(
            "FEDERATION_MAX_CONNECTIONS", default: 3, help: "Connections of one peer", sets: \.federation.connectionsMax
        ),
    ]
}

// MARK: - Rows of common types

extension ConfigurationVariable {
    /// An absolute URL; empty means unset.
    private static func url(
        _ name: String, schemes: [String] = ["http", "https"], help: String, note: String? = nil,
        sets property: any WritableKeyPath<ServerConfiguration, String?> & Sendable,
        problem: @escaping @Sendable (String) -> String? = { _ in nil }
    ) -> ConfigurationVariable {
        ConfigurationVariable(
            name, valueName: "URL", help: help, note: note, sets: property,
            parse: { text throws(ConfigurationError) in
                guard !text.isEmpty else { return nil }
                if let reason = AbsoluteURL.problem(of: text, schemes: schemes) ?? problem(text) {
                    throw ConfigurationError(name, "invalid \(name) \(ConfigurationError.quoted(text)): \(reason)")
                }
                return text
            })
    }

    /// A name or URL; blank means unset.
    private static func domain(
        _ name: String, help: String, note: String,
        sets property: any WritableKeyPath<ServerConfiguration, PeerDomain?> & Sendable
    ) -> ConfigurationVariable {
        ConfigurationVariable(
            name, valueName: "DOMAIN", help: help, note: note, sets: property,
            parse: { text throws(ConfigurationError) in
                let given = Self.trimmed(text[...])
                guard !given.isEmpty else { return nil }
                guard let domain = PeerDomain(given) else {
                    throw ConfigurationError(name, "invalid \(name) \(ConfigurationError.quoted(text)): no domain")
                }
                return domain
            })
    }

    /// What one peer may use of something: an integer above 0; blank means the default.
    private static func quota(
        _ name: String, default value: Int, help: String,
        sets property: any WritableKeyPath<ServerConfiguration, Int> & Sendable
    ) -> ConfigurationVariable {
        ConfigurationVariable(
            name, default: "\(value)", valueName: "N", help: help, sets: property,
            parse: { text throws(ConfigurationError) in
                let digits = Self.trimmed(text[...])
                guard !digits.isEmpty else { return value }
                guard let quota = Int(digits) else {
                    throw ConfigurationError(
                        name, "invalid \(name) value \(ConfigurationError.quoted(text)): not an integer")
                }
                guard quota > 0 else { throw ConfigurationError(name, "\(name) must be greater than zero") }
                return quota
            })
    }

    /// Trimmed; blank means unset.
    private static func secret(_ text: String) -> Secret<String>? {
        let text = Self.trimmed(text[...])
        return text.isEmpty ? nil : Secret(text)
    }

    private static func trustedDomains(_ text: String) -> [PeerDomain] {
        Set(text.split(separator: ",").compactMap { PeerDomain(Self.trimmed($0)) }).sorted()
    }

    private static func trustedKeys(_ text: String) throws(ConfigurationError) -> [TrustedPeerKey] {
        var keys: [TrustedPeerKey] = []
        for entry in text.split(whereSeparator: \.isWhitespace) {
            let key = try Self.trustedKey(entry)
            keys.removeAll { $0.id == key.id }
            keys.append(key)
        }
        return keys
    }

    /// `key_id=key`, split at the first `=`.
    private static func trustedKey(_ entry: Substring) throws(ConfigurationError) -> TrustedPeerKey {
        func wrong(_ message: String) -> ConfigurationError {
            ConfigurationError("FEDERATION_TRUSTED_KEYS", message)
        }
        let parts = entry.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2 else {
            throw wrong("invalid FEDERATION_TRUSTED_KEYS entry \(ConfigurationError.quoted(String(entry)))")
        }
        let id = ConfigurationError.quoted(parts[0])
        guard let domain = PeerDomain(keyID: parts[0]) else { throw wrong("invalid federation key id \(id)") }
        guard let key = Base64URL.decode(parts[1]) else { throw wrong("invalid federation key payload for \(id)") }
        guard key.count == 32 else { throw wrong("federation key for \(id) must be 32 bytes") }
        guard Ed25519Point.isValid(key) else { throw wrong("invalid federation key bytes for \(id)") }
        return TrustedPeerKey(id: parts[0], domain: domain, publicKey: key)
    }
}
