package import Crypto
import FoundationEssentials

/// A token in compact form that claims to be signed with ES256: split and decoded, not verified (RFC 7515 §7.1;
/// docs/contract/auth.md §2.2).
package struct CompactJWS: Sendable {
    /// Header member `kid`, if there.
    package let keyID: String?
    /// The decoded second segment.
    package let payload: [UInt8]
    /// `r ‖ s` of 64 bytes, or `nil` when the third segment is anything else.
    package let signature: P256.Signing.ECDSASignature?

    /// What the signature is over.
    let signedText: ArraySlice<UInt8>

    /// The header that clients write on delegations, `{"alg":"ES256","typ":"JWT"}`: most need no parser.
    private static let plainHeader = Array("eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9".utf8)

    /// An access token: `typ` and `kid` must be text when present (docs/contract/auth.md §2.2).
    package init?(_ token: String) { self.init(Array(token.utf8), checking: ["typ", "kid"]) }

    /// Takes exactly three segments whose first is an object with text `alg` = `ES256`.
    ///
    /// - Parameter names: Header members that must be text when present; all others are ignored whatever their type.
    init?(_ text: [UInt8], checking names: Set<String>) {
        let dot = UInt8(ascii: ".")
        // A dot between these two is no character of base64url.
        guard let first = text.firstIndex(of: dot), let second = text.lastIndex(of: dot), first < second,
            let payload = Base64URL.decode(text[(first + 1)..<second])
        else { return nil }
        if text[..<first] == Self.plainHeader[...] {
            self.keyID = nil
        } else {
            guard let header = Base64URL.decode(text[..<first]),
                let members = try? JSONObject(header, keeping: names.union(["alg"])),
                members.duplicates.isEmpty,
                members["alg"] == .text("ES256")
            else { return nil }
            for name in names {
                guard let member = members[name] else { continue }
                guard member.text != nil else { return nil }
            }
            self.keyID = members["kid"]?.text
        }
        self.payload = payload
        self.signature = Base64URL.decode(text[(second + 1)...])
            .flatMap { try? P256.Signing.ECDSASignature(rawRepresentation: $0) }
        self.signedText = text[..<second]
    }

    /// Whether `key` made the signature over the first two segments. A high s counts.
    package func isSigned(by key: P256.Signing.PublicKey) -> Bool {
        guard let signature = self.signature else { return false }
        return key.isValidSignature(signature, for: self.signedText)
    }

    /// - Parameter digest: Of everything before the last dot, for whom has it already.
    func isSigned(by key: P256.Signing.PublicKey, over digest: SHA256Digest) -> Bool {
        guard let signature = self.signature else { return false }
        return key.isValidSignature(signature, for: digest)
    }
}

extension P256.Signing.PrivateKey {
    /// A token in compact form, signed with ES256 over the two texts as given.
    func compactJWS(header: some Sequence<UInt8>, payload: some Sequence<UInt8>) throws -> String {
        let text = Base64URL.encode(header) + "." + Base64URL.encode(payload)
        let signature = try self.signature(for: Array(text.utf8))
        return text + "." + Base64URL.encode(signature.rawRepresentation)
    }
}
