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
public enum ConnectionSubject {}

public typealias SpaceID = Identifier<SpaceSubject>
public typealias RecordID = Identifier<RecordSubject>
public typealias FileID = Identifier<FileSubject>

/// A random version-4 UUID given to each connection; never sent on the wire (docs/contract/wire.md §3).
public typealias ConnectionID = Identifier<ConnectionSubject>
