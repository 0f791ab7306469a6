package import SyncProtocol

/// Who a valid token speaks for (docs/contract/auth.md §2.6). Fixed for an HTTP request, replaced by `token.refresh` on a
/// WebSocket.
package struct Principal: Hashable, Sendable {
    /// `iss`, verbatim: not normalized.
    package var issuer: String
    /// `sub`, not empty.
    package var userID: String
    /// `client_id`, not empty.
    package var clientID: String
    /// `personal_space_id` when it is a UUID in any textual form; otherwise the token owns no personal space (PSP-3).
    package var personalSpace: SpaceID?
    /// `did`, empty when the token carries none.
    package var did: String
    /// `mailbox_id`, empty when the token carries none.
    package var mailboxID: String
    /// Words of `scope`, split at white space, compared exactly.
    package var scopes: Set<String>
    /// `exp` in Unix seconds; `nil` never expires.
    package var expiresAt: UInt64?

    package init(
        issuer: String, userID: String, clientID: String, personalSpace: SpaceID? = nil, did: String = "",
        mailboxID: String = "", scopes: Set<String> = [], expiresAt: UInt64? = nil
    ) {
        self.issuer = issuer
        self.userID = userID
        self.clientID = clientID
        self.personalSpace = personalSpace
        self.did = did
        self.mailboxID = mailboxID
        self.scopes = scopes
        self.expiresAt = expiresAt
    }

    package func hasScope(_ scope: Scope) -> Bool { self.scopes.contains(scope.rawValue) }
}

package enum Scope: String, Sendable {
    case sync
    case files
}
