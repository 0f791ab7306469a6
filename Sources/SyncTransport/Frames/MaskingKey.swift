package import NIOCore

/// The four bytes that a client XORs over a frame's payload (RFC 6455 §5.3).
package struct MaskingKey: Sendable, Hashable {
    /// First key byte in the highest byte, as read from the wire.
    package let rawValue: UInt32

    package init(rawValue: UInt32) { self.rawValue = rawValue }

    /// RFC 6455 §10.3 wants a strong source of entropy, which the system generator is.
    package static func random() -> MaskingKey {
        MaskingKey(rawValue: UInt32.random(in: .min ... .max))
    }

    /// The key as it applies `phase` bytes into a payload.
    fileprivate func rotated(by phase: Int) -> UInt32 {
        let bits = UInt32(phase & 3) &* 8
        return bits == 0 ? self.rawValue : (self.rawValue &<< bits) | (self.rawValue &>> (32 &- bits))
    }
}

extension ByteBuffer {
    /// Masks or unmasks the readable bytes from `offset` on: both are the same XOR.
    ///
    /// - Parameters:
    ///   - offset: counted from the reader index, at most `readableBytes`.
    ///   - phase: bytes of the same payload that came before the one at `offset`.
    package mutating func applyMask(_ key: MaskingKey, from offset: Int = 0, phase: Int = 0) {
        let key = key.rotated(by: phase)
        guard key != 0 else { return }
        var bytes = self.mutableReadableBytesSpan
        let count = bytes.byteCount
        // In memory the key must read first byte first, whatever the byte order of the machine.
        let half = UInt64(key.bigEndian)
        let word = half << 32 | half
        var position = offset
        while position &+ 8 <= count {
            let masked = bytes.unsafeLoadUnaligned(fromByteOffset: position, as: UInt64.self) ^ word
            bytes.storeBytes(of: masked, toByteOffset: position, as: UInt64.self)
            position &+= 8
        }
        while position < count {
            let shift = UInt32(24 &- ((position &- offset) & 3) &* 8)
            let masked =
                bytes.unsafeLoad(fromByteOffset: position, as: UInt8.self) ^ UInt8(truncatingIfNeeded: key &>> shift)
            bytes.storeBytes(of: masked, toByteOffset: position, as: UInt8.self)
            position &+= 1
        }
    }
}
