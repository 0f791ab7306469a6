import FoundationEssentials
import SyncProtocol

/// Verifies access tokens of the configured issuers, in the order of docs/contract/auth.md §2.2.
package struct JWTValidator: TokenValidator {
    /// By the bytes of the normalized issuer: the equality of `String` is looser than the contract's.
    private let keySources: [[UInt8]: any KeySource]
    private let audiences: [String]
    private let now: @Sendable () -> UInt64
    private let verified = VerifiedSignatures()

    /// - Parameters:
    ///   - keySources: by issuer, which is normalized here.
    ///   - audiences: accepted audiences; none: the audience is not checked.
    ///   - now: whole Unix seconds, rounded down.
    package init(
        keySources: [String: any KeySource], audiences: [String] = [],
        now: @escaping @Sendable () -> UInt64 = { UnixTime.now() }
    ) {
        self.keySources = Dictionary(
            keySources.map { (Array(TrustedIssuer.normalize($0).utf8), $1) }, uniquingKeysWith: { _, last in last }
        )
        self.audiences = audiences
        self.now = now
    }

    /// One key set cache for each of `issuers`; of two entries for one issuer the later counts.
    ///
    /// - Parameter observe: told of every fetch of a key set, for the log.
    package init(
        issuers: [TrustedIssuer], audiences: [String], fetcher: any KeySetFetcher,
        now: @escaping @Sendable () -> UInt64 = { UnixTime.now() },
        uptime: @escaping @Sendable () -> Duration = Uptime().elapsed,
        observe: @escaping @Sendable (KeySetEvent) -> Void = { _ in }
    ) {
        let caches = issuers.map {
            ($0.issuer, KeySetCache(url: $0.keySetURL, fetcher: fetcher, uptime: uptime, observe: observe))
        }
        self.init(
            keySources: Dictionary(caches, uniquingKeysWith: { _, last in last }), audiences: audiences, now: now
        )
    }

    package func validate(_ token: String) async throws(TokenError) -> Principal {
        guard !token.isEmpty else { throw .missing }
        guard let jws = CompactJWS(token), let keyID = jws.keyID,
            let members = try? JSONObject(jws.payload, keeping: TokenClaims.names)
        else { throw .invalid }
        let issuer = try Self.issuer(of: members)
        guard let keySource = self.keySources[Array(TrustedIssuer.normalize(issuer).utf8)] else {
            throw .untrustedIssuer
        }
        // Ahead of the key, because looking for that may cost a fetch. Both are `.invalid`.
        guard jws.signature != nil, let key = await keySource.key(keyID), self.verified.isSigned(jws, by: key)
        else { throw .invalid }
        let claims = try TokenClaims(members, issuer: issuer)
        if let expiresAt = claims.expiresAt, self.now() > expiresAt { throw .expired }
        guard self.audiences.isEmpty || self.accepts(claims.audience ?? []) else { throw .invalid }
        guard !claims.subject.isEmpty, !claims.clientID.isEmpty else { throw .invalid }
        return Principal(claims)
    }

    private static func issuer(of members: JSONObject) throws(TokenError) -> String {
        guard !members.duplicates.contains("iss") else { throw .invalid }
        switch members["iss"] {
        case nil, .null: throw .untrustedIssuer
        case .text(let issuer): return issuer
        default: throw .invalid
        }
    }

    private func accepts(_ audience: [String]) -> Bool {
        audience.contains { value in self.audiences.contains { $0.utf8.elementsEqual(value.utf8) } }
    }
}

extension Principal {
    init(_ claims: TokenClaims) {
        self.init(
            issuer: claims.issuer, userID: claims.subject, clientID: claims.clientID,
            personalSpace: PersonalSpace.parse(claims.personalSpaceID), did: claims.did, mailboxID: claims.mailboxID,
            scopes: claims.scopes, expiresAt: claims.expiresAt
        )
    }
}

/// The wall clock.
package enum UnixTime {
    /// Whole seconds since 1970, rounded down.
    package static func now() -> UInt64 { UInt64(max(0, Date().timeIntervalSince1970)) }
}

/// The monotonic clock, counted from when the value was made.
package struct Uptime: Sendable {
    private let start = ContinuousClock.now

    package init() {}

    package func elapsed() -> Duration { ContinuousClock.now - self.start }
}
