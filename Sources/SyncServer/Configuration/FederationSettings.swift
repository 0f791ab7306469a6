package import SyncAuth

/// Whom this server trusts and how much it lets them do (docs/contract/operations.md §2.3).
package struct FederationSettings: Hashable, Sendable {
    /// `FEDERATION_DOMAIN`: under which other servers reach this one, perhaps with a port.
    package var domain: PeerDomain?
    /// `IDENTITY_DOMAIN`: what stands behind the `@` in the handles of this server's users.
    package var identityDomain: PeerDomain?
    /// `FEDERATION_TRUSTED_DOMAINS`, or the domains of the keys: sorted, each once.
    package var trustedDomains: [PeerDomain] = []
    /// `FEDERATION_TRUSTED_KEYS`, one for each key id, in the order given. Not empty: other servers may connect.
    package var trustedKeys: [TrustedPeerKey] = []
    /// `FEDERATION_FST_SECRET`.
    package var federationSecret: Secret<String>?
    /// `SPACE_SESSION_SECRET`, the older name of the same.
    package var sessionSecret: Secret<String>?
    /// What the keys of subscribe tokens are made from.
    package var tokenSecret: Secret<String>? { self.federationSecret ?? self.sessionSecret }
    /// `FEDERATION_FST_PREVIOUS_SECRET`; verifies only, and only beside `tokenSecret`.
    package var previousTokenSecret: Secret<String>?
    /// `FEDERATION_MAX_SPACES` of one peer.
    package var spacesMax = 1_000
    /// `FEDERATION_MAX_RECORDS_PER_HOUR` of one peer.
    package var recordsPerHour = 10_000
    /// `FEDERATION_MAX_BYTES_PER_HOUR` of one peer.
    package var bytesPerHour = 524_288_000
    /// `FEDERATION_MAX_INVITATIONS_PER_HOUR` of one peer.
    package var invitationsPerHour = 100
    /// `FEDERATION_MAX_CONNECTIONS` of one peer.
    package var connectionsMax = 3

    package init() {}

    /// What this server is called: whatever is addressed to one of these stays here.
    package var ownDomains: Set<PeerDomain> { Set([self.domain, self.identityDomain].compactMap(\.self)) }

    /// Whether somebody set up what lets other servers in.
    var isWanted: Bool { !self.trustedDomains.isEmpty || !self.trustedKeys.isEmpty || self.federationSecret != nil }

    /// The first key of a domain that is not in the list, if there is a list.
    var keyOfNoTrustedDomain: TrustedPeerKey? {
        guard !self.trustedDomains.isEmpty else { return nil }
        return self.trustedKeys.first { !self.trustedDomains.contains($0.domain) }
    }

    /// Without a list, a key vouches for its domain.
    mutating func addDomainsOfKeys() {
        guard self.trustedDomains.isEmpty else { return }
        self.trustedDomains = Set(self.trustedKeys.map(\.domain)).sorted()
    }
}

/// The public key of another server.
package struct TrustedPeerKey: Hashable, Sendable {
    /// `https://<domain>/.well-known/jwks.json#<fragment>`, compared as text.
    package var id: String
    /// The host of the id, without port.
    package var domain: PeerDomain
    /// Ed25519, 32 bytes, a point of the curve.
    package var publicKey: [UInt8]
}
