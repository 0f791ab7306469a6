package import Crypto
import FoundationEssentials

/// Mints ES256 access tokens: the development issuer and tests. The server itself never issues any
/// (docs/contract/auth.md §1).
package struct TokenSigner: Sendable {
    /// `kid` of the tokens and of the key in `keySetDocument`.
    package let keyID: String
    private let privateKey: P256.Signing.PrivateKey

    /// - Parameter keyID: default: the key's thumbprint (RFC 7638).
    package init(privateKey: P256.Signing.PrivateKey = .init(), keyID: String? = nil) {
        self.privateKey = privateKey
        self.keyID = keyID ?? Self.thumbprint(of: privateKey.publicKey)
    }

    package var publicKey: P256.Signing.PublicKey { self.privateKey.publicKey }

    /// A JSON Web Key Set with the public key as its only one, in UTF-8.
    package var keySetDocument: [UInt8] {
        let point = Self.coordinates(of: self.publicKey)
        let key = JSONWebKey(x: point.x, y: point.y, kid: self.keyID)
        // Encoding a few strings has no way to fail.
        return (try? Self.encode(["keys": [key]])) ?? []
    }

    package func sign(_ claims: TokenClaims) throws -> String {
        let header = TokenHeader(kid: self.keyID)
        return try self.sign(header: Self.encode(header), payload: Self.encode(claims))
    }

    /// Signs whatever it is given: tests need tokens that are well signed and wrong in one other thing.
    package func sign(header: some Sequence<UInt8>, payload: some Sequence<UInt8>) throws -> String {
        try self.privateKey.compactJWS(header: header, payload: payload)
    }

    private static func thumbprint(of key: P256.Signing.PublicKey) -> String {
        let point = Self.coordinates(of: key)
        let members = #"{"crv":"P-256","kty":"EC","x":"\#(point.x)","y":"\#(point.y)"}"#
        return Base64URL.encode(SHA256.hash(data: Array(members.utf8)))
    }

    private static func coordinates(of key: P256.Signing.PublicKey) -> (x: String, y: String) {
        let point = key.rawRepresentation
        return (Base64URL.encode(point.prefix(32)), Base64URL.encode(point.suffix(32)))
    }

    private static func encode(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(value))
    }
}

private struct TokenHeader: Encodable {
    var alg = "ES256"
    var typ = "JWT"
    var kid: String
}

private struct JSONWebKey: Encodable {
    var kty = "EC"
    var crv = "P-256"
    var x: String
    var y: String
    var kid: String
    var alg = "ES256"
    var use = "sig"
}
