import Crypto

/// The text of one token, hashed once for both who need it: its name covers all of it, its signature all but the last segment.
struct DelegationText {
    let bytes: [UInt8]
    /// Lower-case hex of SHA-256 over the text (docs/contract/auth.md §5.1).
    let cid: String
    /// Over everything before the last dot.
    private let signedHash: SHA256

    init(_ text: String) {
        self.bytes = Array(text.utf8)
        let lastDot = self.bytes.lastIndex(of: UInt8(ascii: ".")) ?? self.bytes.endIndex
        var hash = SHA256()
        hash.update(data: self.bytes[..<lastDot])
        self.signedHash = hash
        hash.update(data: self.bytes[lastDot...])
        self.cid = Hex.encode(hash.finalize())
    }

    var signedDigest: SHA256Digest { self.signedHash.finalize() }

    /// The name of the same token with another signature.
    func cid(signedWith signature: [UInt8]) -> String {
        var hash = self.signedHash
        hash.update(data: Array(("." + Base64URL.encode(signature)).utf8))
        return Hex.encode(hash.finalize())
    }
}
