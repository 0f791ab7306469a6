/// base64url without padding (RFC 4648 §5), decoded strictly: padding, white space, characters of the standard alphabet
/// and non-zero trailing bits are errors (docs/contract/auth.md §0).
package enum Base64URL {
    /// The bytes that `text` stands for, or `nil` when any character or the length is wrong. Empty text is empty.
    ///
    /// Quick, because a delegation of eight tokens is decoded eight times over: eight characters at once become six bytes,
    /// and whether anything was outside the alphabet is asked at the end.
    package static func decode(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        let source = text.span.bytes
        let (groups, rest) = source.byteCount.quotientAndRemainder(dividingBy: 4)
        let table = Self.values
        let values = table.span
        // The second condition spares the loops every check of an index into the table.
        guard rest != 1, values.count == 256 else { return nil }
        // Six bytes are stored as eight, of which the next six overwrite the last two.
        let slack = 2
        var bytes = [UInt8](repeating: 0, count: groups * 3 + max(0, rest - 1) + slack)
        var span = bytes.mutableSpan
        var target = span.mutableBytes
        var seen: UInt8 = 0
        var read = 0
        var written = 0
        while read + 8 <= source.byteCount {
            let characters = UInt64(bigEndian: source.unsafeLoadUnaligned(fromByteOffset: read, as: UInt64.self))
            var block: UInt64 = 0
            for index in UInt64(0)..<8 {
                let value = values[Int(truncatingIfNeeded: characters >> (56 - index * 8) & 255)]
                seen |= value
                block = block << 6 | UInt64(value)
            }
            target.storeBytes(of: (block << 16).bigEndian, toByteOffset: written, as: UInt64.self)
            read += 8
            written += 6
        }
        var pending: UInt32 = 0
        var pendingBits: UInt32 = 0
        for offset in read..<source.byteCount {
            let value = values[Int(source.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt8.self))]
            seen |= value
            pending = pending << 6 | UInt32(value)
            pendingBits += 6
            guard pendingBits >= 8 else { continue }
            pendingBits -= 8
            target.storeBytes(
                of: UInt8(truncatingIfNeeded: pending >> pendingBits), toByteOffset: written, as: UInt8.self)
            pending &= (1 << pendingBits) - 1
            written += 1
        }
        guard seen < 64, pending == 0 else { return nil }
        bytes.removeLast(slack)
        return bytes
    }

    package static func decode(_ text: String) -> [UInt8]? { Self.decode(Array(text.utf8)[...]) }

    package static func encode(_ bytes: some Sequence<UInt8>) -> String {
        var text: [UInt8] = []
        var pending: UInt32 = 0
        var pendingBits: UInt32 = 0
        for byte in bytes {
            pending = pending << 8 | UInt32(byte)
            pendingBits += 8
            while pendingBits >= 6 {
                pendingBits -= 6
                text.append(Self.character(for: pending >> pendingBits))
                pending &= (1 << pendingBits) - 1
            }
        }
        if pendingBits > 0 { text.append(Self.character(for: pending << (6 - pendingBits))) }
        return String(decoding: text, as: UTF8.self)
    }

    /// The value of each character, 255 for one outside the alphabet.
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 255, count: 256)
        for value in UInt8(0)..<64 { values[Int(Self.character(for: UInt32(value)))] = value }
        return values
    }()

    private static func character(for value: UInt32) -> UInt8 {
        let value = UInt8(value & 63)
        switch value {
        case 0..<26: return UInt8(ascii: "A") + value
        case 26..<52: return UInt8(ascii: "a") + value - 26
        case 52..<62: return UInt8(ascii: "0") + value - 52
        case 62: return UInt8(ascii: "-")
        default: return UInt8(ascii: "_")
        }
    }
}
