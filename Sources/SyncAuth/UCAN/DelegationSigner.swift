package import Crypto
import FoundationEssentials
package import SyncProtocol

/// Mints delegations in the name of one key, as clients do (docs/contract/auth.md §5.7). The server itself never issues any.
package struct DelegationSigner: Sendable {
    /// Ninety days, in seconds.
    package static let lifetime: UInt64 = 90 * 24 * 3_600

    /// The issuer: `iss` of what it signs, and the audience that others write to delegate to it.
    package let did: DIDKey
    private let privateKey: P256.Signing.PrivateKey

    package init(privateKey: P256.Signing.PrivateKey = .init()) {
        self.privateKey = privateKey
        self.did = DIDKey(privateKey.publicKey)
    }

    /// Allows `audience` to do something in a space.
    ///
    /// - Parameters:
    ///   - audience: DID of the receiver. The creator of a space delegates `/space/admin` to itself first.
    ///   - expiresAt: Unix seconds; capped at the expiry of the proof, which a delegation must not outlive.
    ///   - proof: The delegation that this key got; `nil` for the root key of the space.
    /// - Throws: `DelegationError` when the proof is not a delegation.
    package func delegate(
        _ permission: Permission, over space: SpaceID, to audience: String, expiresAt: UInt64, proof: String? = nil
    ) throws -> String {
        let limit = try proof.flatMap { try UnverifiedDelegation(parsing: $0).expiresAt }
        return try self.sign(
            DelegationClaims(
                audience: [audience], command: permission.command, expiresAt: min(expiresAt, limit ?? expiresAt),
                issuer: self.did.text, nonce: Self.nonce(), proofs: proof.map { [$0] } ?? [],
                resource: DelegationRequirement.resource(of: space)))
    }

    /// Signs whatever it is given: tests need delegations that are well signed and wrong in one other thing.
    package func sign(header: some Sequence<UInt8>, payload: some Sequence<UInt8>) throws -> String {
        try self.privateKey.compactJWS(header: header, payload: payload)
    }

    private func sign(_ claims: DelegationClaims) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try self.sign(header: Array(#"{"alg":"ES256","typ":"JWT"}"#.utf8), payload: encoder.encode(claims))
    }

    /// base64url of 16 random bytes.
    private static func nonce() -> String {
        var generator = SystemRandomNumberGenerator()
        return Base64URL.encode((0..<16).map { _ in UInt8.random(in: .min ... .max, using: &generator) })
    }
}

private struct DelegationClaims: Encodable {
    let audience: [String]
    let command: String
    let expiresAt: UInt64
    let issuer: String
    let nonce: String
    let proofs: [String]
    let resource: String

    private enum CodingKeys: String, CodingKey {
        case audience = "aud"
        case command = "cmd"
        case expiresAt = "exp"
        case issuer = "iss"
        case nonce
        case proofs = "prf"
        case resource = "with"
    }
}
