public import FoundationEssentials

/// A UUID that cannot be passed where another kind of UUID is meant.
///
/// Wire: CBOR text of 36 bytes, hyphenated, any case in, lowercase out (RFC 9562 §4; docs/contract/wire.md §16).
/// PostgreSQL: `uuid`. SQLite: 16-byte `BLOB`, big-endian.
public struct Identifier<Subject>: Hashable, Sendable {
    public let rawValue: UUID

    public init(_ rawValue: UUID) { self.rawValue = rawValue }

    /// `nil` unless `text` is the hyphenated form of 36 bytes: hex digits of any case and any UUID version
    /// (docs/contract/storage.md §1.3).
    public init?(wireText text: String) {
        var text = text
        let uuid = text.withUTF8 { bytes in parseHyphenatedUUID(bytes) }
        guard let uuid else { return nil }
        self.init(uuid)
    }

    /// The canonical form: lowercase, hyphenated.
    public var wireText: String { self.rawValue.uuidString.lowercased() }
}

public enum SpaceSubject {}
public enum RecordSubject {}
public enum FileSubject {}
public enum ConnectionSubject {}

public typealias SpaceID = Identifier<SpaceSubject>
public typealias RecordID = Identifier<RecordSubject>
public typealias FileID = Identifier<FileSubject>

/// A random version-4 UUID given to each connection; never sent on the wire (docs/contract/wire.md §3).
public typealias ConnectionID = Identifier<ConnectionSubject>

private func parseHyphenatedUUID(_ bytes: UnsafeBufferPointer<UInt8>) -> UUID? {
    guard bytes.count == 36 else { return nil }
    var uuid: uuid_t = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    let isValid = withUnsafeMutableBytes(of: &uuid) { output in
        var offset = 0
        for index in 0..<16 {
            if index == 4 || index == 6 || index == 8 || index == 10 {
                guard bytes[offset] == UInt8(ascii: "-") else { return false }
                offset += 1
            }
            guard let high = hexValue(bytes[offset]), let low = hexValue(bytes[offset + 1]) else { return false }
            output[index] = high << 4 | low
            offset += 2
        }
        return true
    }
    return isValid ? UUID(uuid: uuid) : nil
}

private func hexValue(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
}
