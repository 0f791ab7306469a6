/// The other signature that ECDSA gives everybody who knows one: with `(r, s)`, `(r, n − s)` is valid too, `n` being the order
/// of the curve (SEC 1 §4.1.4). Both forms are taken, since WebCrypto makes either.
enum SignatureTwin {
    /// The order of P-256, big-endian (SEC 2 §2.4.2).
    private static let order: [UInt8] = [
        0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
        0xBC, 0xE6, 0xFA, 0xAD, 0xA7, 0x17, 0x9E, 0x84, 0xF3, 0xB9, 0xCA, 0xC2, 0xFC, 0x63, 0x25, 0x51,
    ]

    /// - Parameter signature: `r ‖ s`, 64 bytes, valid: `s` is below the order.
    static func of(_ signature: [UInt8]) -> [UInt8] {
        var twin = signature
        var borrow = 0
        for (index, digit) in zip(twin.indices.reversed(), self.order.reversed()) {
            let difference = Int(digit) - Int(twin[index]) - borrow
            borrow = difference < 0 ? 1 : 0
            twin[index] = UInt8(truncatingIfNeeded: difference)
        }
        return twin
    }
}
