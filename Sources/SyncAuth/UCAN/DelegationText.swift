import Crypto

/// The text of one token, hashed once for both who need it: its name covers all of it, its signature all but the last segment.
struct DelegationText {
    let bytes: [UInt8]
    /// Lower-case hex of SHA-256 over the text (docs/contract/auth.md §5.1).
    let cid: String
    /// Of everything before the last dot.
    let signedDigest: SHA256Digest

    init(_ text: String) {
        self.bytes = Array(text.utf8)
        let lastDot = self.bytes.lastIndex(of: UInt8(ascii: ".")) ?? self.bytes.endIndex
        var hash = SHA256()
        hash.update(data: self.bytes[..<lastDot])
        self.signedDigest = hash.finalize()
        hash.update(data: self.bytes[lastDot...])
        self.cid = Hex.encode(hash.finalize())
    }
}
