/// Whether 32 bytes are the encoding of a point of edwards25519 (RFC 8032 §5.1.3): the check that a key set or a configured
/// key gets before anything is verified with it. Works on public values; it takes no care to hide them.
package enum Ed25519Point {
    /// - Parameter encoding: y in little-endian order, the sign of x in the highest bit.
    /// - Returns: `false` for another length, for y of 2^255 - 19 or more, and where no x fits.
    package static func isValid(_ encoding: some Collection<UInt8>) -> Bool {
        guard encoding.count == 32 else { return false }
        var bytes = Array(encoding)
        let isNegative = bytes[31] & 0x80 != 0
        bytes[31] &= 0x7f
        guard let y = FieldElement(littleEndian: bytes) else { return false }
        // x² = (y² - 1) / (d·y² + 1), and a quotient is a square exactly if the product is.
        let square = y * y
        let numerator = square - .one
        let product = numerator * (FieldElement.d * square + .one)
        if product == .zero { return !isNegative }
        return product.raised(toPowerOf: FieldElement.halfOfOrder) == .one
    }
}

/// An integer modulo p = 2^255 - 19, always reduced; four words of 64 bits, the lowest first.
private struct FieldElement: Equatable {
    private typealias Words = InlineArray<4, UInt64>

    private var words: Words

    static let zero = FieldElement(words: [0, 0, 0, 0])
    static let one = FieldElement(words: [1, 0, 0, 0])
    /// The constant of the curve, -121665/121666 (RFC 8032 §5.1).
    static let d = FieldElement(words: [
        0x75eb_4dca_1359_78a3, 0x0070_0a4d_4141_d8ab, 0x8cc7_4079_7779_e898, 0x5203_6cee_2b6f_fe73,
    ])
    /// (p - 1) / 2, the exponent of Euler's criterion.
    static let halfOfOrder: [UInt64] = [
        0xffff_ffff_ffff_fff6, 0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff, 0x3fff_ffff_ffff_ffff,
    ]
    private static let p: Words = [
        0xffff_ffff_ffff_ffed, 0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff, 0x7fff_ffff_ffff_ffff,
    ]

    private init(words: Words) { self.words = words }

    /// - Parameter bytes: 32 of them; `nil` when they are p or more.
    init?(littleEndian bytes: [UInt8]) {
        self.words = [0, 0, 0, 0]
        for (index, byte) in bytes.enumerated() { self.words[index / 8] |= UInt64(byte) << UInt64(index % 8 * 8) }
        guard Self.isLess(self.words, than: Self.p) else { return nil }
    }

    static func == (left: FieldElement, right: FieldElement) -> Bool {
        (0..<4).allSatisfy { left.words[$0] == right.words[$0] }
    }

    static func + (left: FieldElement, right: FieldElement) -> FieldElement {
        // Both are below 2^255, so that the sum fits in 256 bits.
        var sum: Words = [0, 0, 0, 0]
        var carry: UInt128 = 0
        for index in 0..<4 {
            carry += UInt128(left.words[index]) + UInt128(right.words[index])
            sum[index] = UInt64(truncatingIfNeeded: carry)
            carry >>= 64
        }
        return FieldElement(reducing: sum)
    }

    static func - (left: FieldElement, right: FieldElement) -> FieldElement {
        left + FieldElement(words: Self.difference(Self.p, right.words)).reduced
    }

    static func * (left: FieldElement, right: FieldElement) -> FieldElement {
        var product = InlineArray<8, UInt64>(repeating: 0)
        for i in 0..<4 {
            var carry: UInt128 = 0
            for j in 0..<4 {
                carry += UInt128(left.words[i]) * UInt128(right.words[j]) + UInt128(product[i + j])
                product[i + j] = UInt64(truncatingIfNeeded: carry)
                carry >>= 64
            }
            product[i + 4] = UInt64(truncatingIfNeeded: carry)
        }
        // 2^256 is 38 modulo p: the upper half comes back 38 times, twice at most.
        var folded: Words = [0, 0, 0, 0]
        var carry: UInt128 = 0
        for index in 0..<4 {
            carry += UInt128(product[index]) + 38 * UInt128(product[index + 4])
            folded[index] = UInt64(truncatingIfNeeded: carry)
            carry >>= 64
        }
        while carry > 0 {
            carry *= 38
            for index in 0..<4 {
                carry += UInt128(folded[index])
                folded[index] = UInt64(truncatingIfNeeded: carry)
                carry >>= 64
            }
        }
        return FieldElement(reducing: folded)
    }

    func raised(toPowerOf exponent: [UInt64]) -> FieldElement {
        var result = FieldElement.one
        for word in exponent.reversed() {
            for bit in (0..<64).reversed() {
                result = result * result
                if word >> UInt64(bit) & 1 == 1 { result = result * self }
            }
        }
        return result
    }

    /// - Parameter words: below 2^256, which is less than three times p.
    private init(reducing words: Words) {
        self = FieldElement(words: words).reduced
    }

    private var reduced: FieldElement {
        var words = self.words
        while !Self.isLess(words, than: Self.p) { words = Self.difference(words, Self.p) }
        return FieldElement(words: words)
    }

    private static func isLess(_ left: Words, than right: Words) -> Bool {
        for index in (0..<4).reversed() where left[index] != right[index] { return left[index] < right[index] }
        return false
    }

    /// - Precondition: `right` is not the greater.
    private static func difference(_ left: Words, _ right: Words) -> Words {
        var difference: Words = [0, 0, 0, 0]
        var borrow = false
        for index in 0..<4 {
            let (first, firstBorrow) = left[index].subtractingReportingOverflow(right[index])
            let (second, secondBorrow) = first.subtractingReportingOverflow(borrow ? 1 : 0)
            difference[index] = second
            borrow = firstBorrow || secondBorrow
        }
        return difference
    }
}
