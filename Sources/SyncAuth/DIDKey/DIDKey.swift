package import Crypto
import FoundationEssentials

/// A P-256 public key and the DID it was written as (docs/contract/auth.md §3).
///
/// One key has one encoding here but several that are accepted, so DIDs are compared as text, keys as `compressed`.
package struct DIDKey: Sendable {
    /// As read, or the canonical form when made from a key: `did:key:zDn…`.
    package let text: String
    package let publicKey: P256.Signing.PublicKey
    /// 33 bytes: `02` or `03`, then x (SEC1).
    package let compressed: [UInt8]

    private static let prefix = Array("did:key:z".utf8)
    /// Unsigned LEB128 of the multicodec `p256-pub`, 0x1200.
    private static let multicodecBytes: [UInt8] = [0x80, 0x24]
    private static let multicodec: UInt64 = 0x1200
    /// Bytes of base58 behind the prefix: five times what a key needs.
    private static let base58BytesMax = 256

    package init(_ publicKey: P256.Signing.PublicKey) {
        self.publicKey = publicKey
        self.compressed = Array(publicKey.compressedRepresentation)
        self.text = "did:key:z" + Base58.encode(Self.multicodecBytes + self.compressed)
    }

    package init(_ text: String) throws(DIDKeyError) {
        let utf8 = text.utf8
        guard utf8.starts(with: Self.prefix), utf8.count > Self.prefix.count else { throw .missingPrefix }
        let encoded = utf8.dropFirst(Self.prefix.count)
        guard encoded.count <= Self.base58BytesMax else { throw .inputTooLong(encoded.count) }
        guard let bytes = Base58.decode(encoded) else { throw .base58 }
        let (multicodec, point) = try Self.splitVarint(bytes)
        guard multicodec == Self.multicodec else { throw .wrongMulticodec(multicodec) }
        guard point.count == 33 else { throw .wrongPointLength(point.count) }
        guard point.first == 2 || point.first == 3,
            let publicKey = try? P256.Signing.PublicKey(compressedRepresentation: point)
        else { throw .invalidPoint }
        self.text = text
        self.publicKey = publicKey
        self.compressed = Array(point)
    }

    /// An unsigned LEB128 of at most 10 bytes and what follows it. Bits beyond 64 are dropped, longer encodings than needed
    /// are accepted.
    private static func splitVarint(_ bytes: [UInt8]) throws(DIDKeyError) -> (UInt64, ArraySlice<UInt8>) {
        var value: UInt64 = 0
        for (index, byte) in bytes.enumerated() {
            guard index < 10 else { throw .invalidVarint(.tooLong) }
            value |= UInt64(byte & 0x7f) << UInt64(index * 7)
            if byte & 0x80 == 0 { return (value, bytes[(index + 1)...]) }
        }
        throw .invalidVarint(bytes.count < 10 ? .truncated : .tooLong)
    }
}
