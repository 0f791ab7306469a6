/// One entry of `TRUSTED_ISSUERS` (docs/contract/auth.md §2.1).
package struct TrustedIssuer: Hashable, Sendable {
    /// Without trailing slashes.
    package let issuer: String
    package let keySetURL: String

    /// - Parameter keySetURL: default: the issuer and `/.well-known/jwks.json`.
    package init(_ issuer: String, keySetURL: String? = nil) {
        self.issuer = Self.normalize(issuer)
        self.keySetURL = keySetURL ?? self.issuer + "/.well-known/jwks.json"
    }

    /// `issuer` without any trailing slash; nothing else is changed.
    package static func normalize(_ issuer: String) -> String {
        var issuer = Substring(issuer)
        while issuer.utf8.last == UInt8(ascii: "/") { issuer = Substring(issuer.utf8.dropLast()) }
        return String(issuer)
    }
}
