/// Claims of an access token (docs/contract/auth.md §2.3). Absent text is empty.
package struct TokenClaims: Hashable, Sendable {
    /// `iss`, as written.
    package var issuer: String
    package var subject: String
    package var clientID: String
    /// Words separated by white space.
    package var scope = ""
    /// `exp` in Unix seconds; `nil` never expires.
    package var expiresAt: UInt64?
    /// `aud`; a single text is a list of one.
    package var audience: [String]?
    package var personalSpaceID = ""
    package var did = ""
    package var mailboxID = ""

    package init(issuer: String, subject: String, clientID: String) {
        self.issuer = issuer
        self.subject = subject
        self.clientID = clientID
    }

    /// Words of `scope`, split at white space, compared exactly.
    package var scopes: Set<String> {
        Set(self.scope.unicodeScalars.split { $0.properties.isWhitespace }.map { String($0) })
    }
}

extension TokenClaims {
    /// Every claim that the contract gives a type. Others are ignored.
    static let names: Set<String> = [
        "iss", "sub", "client_id", "scope", "exp", "aud", "jti", "personal_space_id", "did", "mailbox_id",
    ]

    /// - Throws: `.invalid` when a listed claim occurs twice, has another type than listed (null included, where it is
    ///   not listed), or when `sub` or `client_id` is missing.
    init(_ members: JSONObject, issuer: String) throws(TokenError) {
        guard members.duplicates.isEmpty else { throw .invalid }
        func text(_ name: String) throws(TokenError) -> String {
            guard let value = members[name] else { return "" }
            guard let text = value.text else { throw .invalid }
            return text
        }
        self.issuer = issuer
        self.subject = try text("sub")
        self.clientID = try text("client_id")
        self.scope = try text("scope")
        self.personalSpaceID = try text("personal_space_id")
        self.did = try text("did")
        self.mailboxID = try text("mailbox_id")
        _ = try text("jti")
        self.expiresAt = try Self.expiry(members["exp"])
        self.audience = try Self.audience(members["aud"])
    }

    private static func expiry(_ value: JSONValue?) throws(TokenError) -> UInt64? {
        switch value {
        case nil, .null: return nil
        case .some(let value):
            guard let seconds = value.unsignedInteger else { throw .invalid }
            return seconds
        }
    }

    private static func audience(_ value: JSONValue?) throws(TokenError) -> [String]? {
        switch value {
        case nil, .null: return nil
        case .text(let text): return [text]
        case .some(let value):
            guard let texts = value.texts else { throw .invalid }
            return texts
        }
    }
}

extension TokenClaims: Encodable {
    private enum CodingKeys: String, CodingKey {
        case issuer = "iss"
        case subject = "sub"
        case clientID = "client_id"
        case scope
        case expiresAt = "exp"
        case audience = "aud"
        case personalSpaceID = "personal_space_id"
        case did
        case mailboxID = "mailbox_id"
    }

    /// Leaves out what is absent, because null is a type error for text claims.
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(self.issuer, forKey: .issuer)
        try container.encode(self.subject, forKey: .subject)
        try container.encode(self.clientID, forKey: .clientID)
        try container.encodeIfPresent(self.expiresAt, forKey: .expiresAt)
        try container.encodeIfPresent(self.audience, forKey: .audience)
        let texts: [(CodingKeys, String)] = [
            (.scope, self.scope), (.personalSpaceID, self.personalSpaceID), (.did, self.did),
            (.mailboxID, self.mailboxID),
        ]
        for (key, text) in texts where !text.isEmpty { try container.encode(text, forKey: key) }
    }
}
