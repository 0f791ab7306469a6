/// Why bytes were not accepted as CBOR, or not as the value that was asked for.
public enum CBORError: Error, Hashable, Sendable {
    /// The item ends beyond the input, or declares a length larger than what remains.
    case truncated
    /// Not well-formed (RFC 8949 §3), or a text that is not UTF-8.
    case malformed
    /// Nested deeper than `Limits.cborDepthMax`.
    case tooDeep
    /// Well-formed, but of another type than the field's.
    case typeMismatch
    /// An integer outside the field's range, or a longer text than the field takes.
    case outOfRange
    case duplicateKey
    case missingField
}
