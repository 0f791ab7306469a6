/// Checks UTF-8 that arrives in pieces and fails at the first byte that no continuation could make valid.
///
/// Well-formed sequences as in Unicode 15, table 3-7; RFC 6455 §8.1 asks for it.
package struct UTF8Validator: Sendable, Equatable {
    /// Continuation bytes that the sequence in progress still needs.
    private var remaining: UInt8 = 0
    /// Range of the next continuation byte: narrower than 80...BF after E0, ED, F0 and F4.
    private var lower: UInt8 = 0x80
    private var upper: UInt8 = 0xBF

    package init() {}

    /// Whether the text so far ends between two characters.
    package var isComplete: Bool { self.remaining == 0 }

    /// - Returns: whether the text can still become valid.
    package mutating func consume(_ bytes: RawSpan) -> Bool {
        let count = bytes.byteCount
        var offset = 0
        while offset < count {
            if self.remaining == 0 {
                while offset &+ 8 <= count,
                    bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self) & 0x8080_8080_8080_8080 == 0
                {
                    offset &+= 8
                }
                guard offset < count else { break }
            }
            let byte = bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
            offset &+= 1
            guard self.consume(byte) else { return false }
        }
        return true
    }

    private mutating func consume(_ byte: UInt8) -> Bool {
        if self.remaining > 0 {
            guard byte >= self.lower, byte <= self.upper else { return false }
            self.remaining &-= 1
            self.lower = 0x80
            self.upper = 0xBF
            return true
        }
        switch byte {
        case 0x00...0x7F:
            return true
        case 0xC2...0xDF:
            self.remaining = 1
        case 0xE0:
            self.remaining = 2
            self.lower = 0xA0
        case 0xED:
            self.remaining = 2
            self.upper = 0x9F
        case 0xE1...0xEF:
            self.remaining = 2
        case 0xF0:
            self.remaining = 3
            self.lower = 0x90
        case 0xF1...0xF3:
            self.remaining = 3
        case 0xF4:
            self.remaining = 3
            self.upper = 0x8F
        default:
            return false
        }
        return true
    }
}
