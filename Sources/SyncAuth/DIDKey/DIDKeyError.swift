/// Why a text is not the `did:key` of a P-256 key (docs/contract/auth.md §3), in the order of the checks.
package enum DIDKeyError: Error, Hashable, Sendable {
    case missingPrefix
    /// The number of bytes behind the prefix.
    case inputTooLong(Int)
    case base58
    case invalidVarint(Varint)
    case wrongMulticodec(UInt64)
    /// The number of bytes behind the multicodec.
    case wrongPointLength(Int)
    case invalidPoint

    package enum Varint: String, Hashable, Sendable {
        case tooLong = "too long"
        case truncated
    }
}

extension DIDKeyError: CustomStringConvertible {
    package var description: String {
        let reason =
            switch self {
            case .missingPrefix: "missing did:key:z prefix"
            case .inputTooLong(let count): "base58 input too long: \(count)"
            case .base58: "base58 decode failed"
            case .invalidVarint(let reason): "varint decode failed: \(reason.rawValue)"
            case .wrongMulticodec(let value): "expected P-256 multicodec 0x1200, got 0x\(String(value, radix: 16))"
            case .wrongPointLength(let count): "expected 33-byte compressed point, got \(count)"
            case .invalidPoint: "point not on P-256 curve"
            }
        return "invalid did:key: " + reason
    }
}
