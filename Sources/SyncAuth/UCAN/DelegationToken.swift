import Crypto
import FoundationEssentials

/// One token of a chain: well formed and signed by the key that it names as its issuer (docs/contract/auth.md §5.1, §5.2).
/// What it claims is not checked.
struct DelegationToken: Sendable {
    /// Lower-case hex of SHA-256 over the exact text.
    let cid: String
    /// The name of the same token with the other form of its signature, which is as valid.
    let twinCID: String
    let issuer: DIDKey
    /// First of `aud`; empty when there is none.
    let audience: String
    let command: String
    let resource: String
    let nonce: String
    /// Unix seconds.
    let expiresAt: UInt64?
    /// Unix seconds.
    let notBefore: UInt64?
    /// Texts of the parent tokens.
    let proofs: [String]

    private static let claims: Set<String> = ["iss", "aud", "cmd", "with", "nonce", "exp", "nbf", "prf"]

    /// - Parameter keys: Keys decoded before. A new one is added once it has proved to sign something.
    init(_ source: DelegationText, keys: DIDKeyCache?) throws(DelegationError) {
        guard let token = CompactJWS(source.bytes, checking: []) else { throw .invalid(.malformed) }
        let members: JSONObject
        do { members = try JSONObject(token.payload, keeping: Self.claims) } catch { throw .invalid(.payload) }

        guard let issuer = members["iss"]?.text else { throw .invalid(.issuer(nil)) }
        let known = keys?.key(issuer)
        if let known {
            self.issuer = known
        } else {
            do { self.issuer = try DIDKey(issuer) } catch { throw .invalid(.issuer(error)) }
        }
        guard let signature = token.signature, token.isSigned(by: self.issuer.publicKey, over: source.signedDigest)
        else { throw .invalid(.signature) }
        if known == nil { keys?.insert(self.issuer) }

        if let name = members.duplicates.min() { throw .invalid(.claim(name)) }
        func text(_ name: String) throws(DelegationError) -> String {
            guard let value = members[name] else { return "" }
            guard let text = value.text else { throw .invalid(.claim(name)) }
            return text
        }
        func seconds(_ name: String) throws(DelegationError) -> UInt64? {
            guard let value = members[name] else { return nil }
            guard let seconds = value.unsignedInteger else { throw .invalid(.claim(name)) }
            return seconds
        }
        func texts(_ name: String) throws(DelegationError) -> [String] {
            guard let value = members[name] else { return [] }
            guard let texts = value.texts else { throw .invalid(.claim(name)) }
            return texts
        }
        self.cid = source.cid
        self.twinCID = source.cid(signedWith: SignatureTwin.of(Array(signature.rawRepresentation)))
        if let single = members["aud"]?.text {
            self.audience = single
        } else {
            self.audience = try texts("aud").first ?? ""
        }
        self.command = try text("cmd")
        self.resource = try text("with")
        self.nonce = try text("nonce")
        self.expiresAt = try seconds("exp")
        self.notBefore = try seconds("nbf")
        self.proofs = try texts("prf")
    }
}
