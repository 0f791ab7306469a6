/// The textual forms of a UUID (docs/contract/wire.md §16, docs/contract/storage.md §1.3).
extension Identifier {
    /// The hyphenated form alone: exactly 36 characters, hex digits of any case, any version.
    public init?(wireText text: String) {
        guard let bits = UUIDText.hyphenated(text.utf8) else { return nil }
        self.init(bits: bits)
    }

    /// The hyphenated form, alone or in braces or after `urn:uuid:`, or 32 hex digits.
    public init?(anyUUIDText text: String) {
        guard let bits = UUIDText.anyForm(text.utf8) else { return nil }
        self.init(bits: bits)
    }

    /// Canonical: lowercase, hyphenated, 36 characters.
    public var wireText: String { String(decoding: UUIDText.canonical(self.bits), as: UTF8.self) }
}

extension Identifier: CustomStringConvertible {
    public var description: String { self.wireText }
}

/// Hexadecimal text to bits and back, on UTF-8 bytes.
enum UUIDText {
    /// Bytes of the hyphenated form.
    static let length = 36

    static func hyphenated(_ text: some Collection<UInt8>) -> UInt128? {
        guard text.count == Self.length else { return nil }
        var bits: UInt128 = 0
        var group: UInt64 = 0
        var offset = 0
        for byte in text {
            switch offset {
            case 8, 13, 18, 23:
                guard byte == UInt8(ascii: "-") else { return nil }
                bits = (bits << (offset == 8 ? 32 : 16)) | UInt128(group)
                group = 0
            default:
                guard let digit = Self.value(ofDigit: byte) else { return nil }
                group = (group << 4) | digit
            }
            offset += 1
        }
        return (bits << 48) | UInt128(group)
    }

    static func anyForm(_ text: some BidirectionalCollection<UInt8>) -> UInt128? {
        switch text.count {
        case 32: return Self.digits(text)
        case Self.length: return Self.hyphenated(text)
        case 38:
            guard text.first == UInt8(ascii: "{"), text.last == UInt8(ascii: "}") else { return nil }
            return Self.hyphenated(text.dropFirst().dropLast())
        case 45:
            guard text.starts(with: "urn:uuid:".utf8) else { return nil }
            return Self.hyphenated(text.dropFirst(9))
        default: return nil
        }
    }

    private static func digits(_ text: some Collection<UInt8>) -> UInt128? {
        var bits: UInt128 = 0
        for byte in text {
            guard let digit = Self.value(ofDigit: byte) else { return nil }
            bits = (bits << 4) | UInt128(digit)
        }
        return bits
    }

    @inline(__always)
    private static func value(ofDigit byte: UInt8) -> UInt64? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt64(byte &- UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt64(byte &- UInt8(ascii: "a") &+ 10)
        case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt64(byte &- UInt8(ascii: "A") &+ 10)
        default: nil
        }
    }

    static func canonical(_ bits: UInt128) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(Self.length)
        var shift = 124
        for offset in 0..<Self.length {
            switch offset {
            case 8, 13, 18, 23: text.append(UInt8(ascii: "-"))
            default:
                text.append(Self.digit(UInt8(truncatingIfNeeded: bits >> UInt128(shift)) & 0x0F))
                shift -= 4
            }
        }
        return text
    }

    private static func digit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") - 10 + value
    }

    /// The eight ASCII digits of four bytes, in text order when written big-endian.
    @inline(__always)
    static func digits(of value: UInt32) -> UInt64 {
        // Spread the nibbles over bytes, then add '0', and the distance to 'a' where a nibble is above 9.
        var spread = UInt64(value)
        spread = (spread | (spread << 16)) & 0x0000_FFFF_0000_FFFF
        spread = (spread | (spread << 8)) & 0x00FF_00FF_00FF_00FF
        spread = (spread | (spread << 4)) & 0x0F0F_0F0F_0F0F_0F0F
        let letters = ((spread &+ 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101
        return spread &+ 0x3030_3030_3030_3030 &+ letters &* 0x27
    }
}
