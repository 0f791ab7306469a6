/// base58 with the alphabet of Bitcoin, as `did:key` uses it. The time is quadratic in the length: callers bound it.
enum Base58 {
    private static let alphabet = Array("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz".utf8)

    /// The value of each ASCII character, 255 for one outside the alphabet.
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 255, count: 128)
        for (value, character) in Self.alphabet.enumerated() { values[Int(character)] = UInt8(value) }
        return values
    }()

    /// `nil` when a character is not of the alphabet. Each leading `1` is a zero byte.
    static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
        // Least significant byte first.
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count)
        for character in text {
            guard character < 128 else { return nil }
            let value = Self.values[Int(character)]
            guard value < 58 else { return nil }
            var carry = UInt32(value)
            for index in bytes.indices {
                carry += UInt32(bytes[index]) * 58
                bytes[index] = UInt8(truncatingIfNeeded: carry)
                carry >>= 8
            }
            if carry > 0 { bytes.append(UInt8(truncatingIfNeeded: carry)) }
        }
        let zeros = text.prefix { $0 == UInt8(ascii: "1") }.count
        return Array(repeating: 0, count: zeros) + bytes.reversed()
    }

    static func encode(_ bytes: some Collection<UInt8>) -> String {
        // Least significant digit first.
        var digits: [UInt8] = []
        for byte in bytes {
            var carry = UInt32(byte)
            for index in digits.indices {
                carry += UInt32(digits[index]) << 8
                digits[index] = UInt8(carry % 58)
                carry /= 58
            }
            while carry > 0 {
                digits.append(UInt8(carry % 58))
                carry /= 58
            }
        }
        let zeros = bytes.prefix { $0 == 0 }.count
        let text = Array(repeating: Self.alphabet[0], count: zeros) + digits.reversed().map { Self.alphabet[Int($0)] }
        return String(decoding: text, as: UTF8.self)
    }
}
