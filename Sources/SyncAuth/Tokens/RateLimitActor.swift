import Crypto
import FoundationEssentials

/// Names users in the rate-limit table without telling who they are (docs/contract/auth.md §10.2).
package struct RateLimitActors: Sendable {
    private let key: SymmetricKey

    /// - Parameter key: the identity hash key. `nil` unless it has 32 bytes.
    package init?(key: [UInt8]) {
        guard key.count == 32 else { return nil }
        self.key = SymmetricKey(data: key)
    }

    /// 64 lower-case hex characters, the same for the same issuer and user.
    ///
    /// - Parameter issuer: verbatim from the token.
    package func actor(issuer: String, userID: String) -> String {
        let message = Array(issuer.utf8) + [0] + Array(userID.utf8)
        return Hex.encode(HMAC<SHA256>.authenticationCode(for: message, using: self.key))
    }

    package func actor(_ principal: Principal) -> String {
        self.actor(issuer: principal.issuer, userID: principal.userID)
    }
}
