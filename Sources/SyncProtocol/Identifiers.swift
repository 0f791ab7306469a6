public import FoundationEssentials

/// A UUID that cannot be passed where another kind of UUID is meant.
///
/// Wire: CBOR text of 36 bytes, hyphenated, any case in, lowercase out (RFC 9562 §4; docs/contract/wire.md §16).
/// PostgreSQL: `uuid`. SQLite: 16-byte `BLOB`, big-endian.
public struct Identifier<Subject>: Hashable, Sendable {
    public let rawValue: UUID

    public init(_ rawValue: UUID) { self.rawValue = rawValue }
}

public enum SpaceSubject {}
public enum RecordSubject {}
public enum FileSubject {}
public enum InvitationSubject {}
public enum ConnectionSubject {}

public typealias SpaceID = Identifier<SpaceSubject>
public typealias RecordID = Identifier<RecordSubject>
public typealias FileID = Identifier<FileSubject>
public typealias InvitationID = Identifier<InvitationSubject>

/// A random version-4 UUID given to each connection; never sent on the wire (docs/contract/wire.md §3).
public typealias ConnectionID = Identifier<ConnectionSubject>

extension Identifier {
    /// A version-4 UUID from the system's random numbers.
    public static func random() -> Self { Self(UUID()) }

    /// The 16 bytes as one big-endian number: `ByteBuffer.writeInteger(id.bits)` writes the database form.
    public var bits: UInt128 {
        let u = self.rawValue.uuid
        let high =
            (UInt64(u.0) << 56) | (UInt64(u.1) << 48) | (UInt64(u.2) << 40) | (UInt64(u.3) << 32)
            | (UInt64(u.4) << 24) | (UInt64(u.5) << 16) | (UInt64(u.6) << 8) | UInt64(u.7)
        let low =
            (UInt64(u.8) << 56) | (UInt64(u.9) << 48) | (UInt64(u.10) << 40) | (UInt64(u.11) << 32)
            | (UInt64(u.12) << 24) | (UInt64(u.13) << 16) | (UInt64(u.14) << 8) | UInt64(u.15)
        return (UInt128(high) << 64) | UInt128(low)
    }

    /// Whether the UUID was made from a name by SHA-1 (RFC 9562 §5.5).
    public var isVersion5: Bool { (self.bits >> 76) & 0xF == 5 && (self.bits >> 62) & 0b11 == 0b10 }

    public init(bits: UInt128) {
        func byte(_ index: Int) -> UInt8 { UInt8(truncatingIfNeeded: bits >> UInt128(120 - 8 * index)) }
        self.init(
            UUID(
                uuid: (
                    byte(0), byte(1), byte(2), byte(3), byte(4), byte(5), byte(6), byte(7),
                    byte(8), byte(9), byte(10), byte(11), byte(12), byte(13), byte(14), byte(15)
                )
            )
        )
    }

    /// 16 bytes, big-endian.
    public var bytes: [UInt8] {
        let u = self.rawValue.uuid
        return [
            u.0, u.1, u.2, u.3, u.4, u.5, u.6, u.7, u.8, u.9, u.10, u.11, u.12, u.13, u.14, u.15,
        ]
    }

    /// `nil` unless there are exactly 16 bytes.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 16 else { return nil }
        var bits: UInt128 = 0
        for byte in bytes { bits = (bits << 8) | UInt128(byte) }
        self.init(bits: bits)
    }
}

/// Byte order, as PostgreSQL's `uuid` and SQLite's `BLOB` compare.
extension Identifier: Comparable {
    public static func < (left: Self, right: Self) -> Bool { left.bits < right.bits }
}
