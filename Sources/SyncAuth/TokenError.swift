/// Why a token was not accepted (docs/contract/auth.md §2.5). The four kinds are all that any peer learns.
package enum TokenError: Error, Hashable, Sendable, CaseIterable {
    case missing
    case invalid
    case expired
    case untrustedIssuer

    /// Reason of close code 4000 at the handshake.
    package var closeReason: String {
        switch self {
        case .missing: "empty auth token"
        case .invalid: "invalid auth token"
        case .expired: "expired auth token"
        case .untrustedIssuer: "untrusted auth issuer"
        }
    }

    /// `error` of a `token.refresh` result.
    package var refreshError: String {
        switch self {
        case .missing: "missing auth token"
        case .invalid, .expired, .untrustedIssuer: self.closeReason
        }
    }

    /// Message of an HTTP 401.
    package var httpMessage: String {
        switch self {
        case .missing: "missing authorization token"
        case .invalid: "invalid token"
        case .expired: "token has expired"
        case .untrustedIssuer: "untrusted token issuer"
        }
    }
}

/// Turns the text of an access token into the principal it proves.
package protocol TokenValidator: Sendable {
    func validate(_ token: String) async throws(TokenError) -> Principal
}
