public import NIOCore

/// Writes CBOR items (RFC 8949): shortest integers, definite lengths (docs/contract/wire.md §6).
public struct CBORWriter: Sendable {
    public private(set) var buffer: ByteBuffer
    /// Bytes written, or that would have been written.
    private(set) var count = 0
    /// Keys written to the innermost map that counts its entries.
    private var entries = 0
    private let isMeasuring: Bool

    public init(capacity: Int = 256) {
        self.buffer = ByteBufferAllocator().buffer(capacity: capacity)
        self.isMeasuring = false
    }

    /// A writer that only counts.
    private init(measuring: Void) {
        self.buffer = ByteBuffer()
        self.isMeasuring = true
    }

    /// The exact number of bytes that `body` writes. Costs a visit of each field; no byte string is touched.
    static func measure(_ body: (inout CBORWriter) -> Void) -> Int {
        var writer = CBORWriter(measuring: ())
        body(&writer)
        return writer.count
    }

    /// What `body` writes, in one allocation. `body` is called twice.
    static func encode(_ body: (inout CBORWriter) -> Void) -> ByteBuffer {
        Self.encode(size: Self.measure(body), body)
    }

    /// What `body` writes, in one allocation if that is `size` bytes.
    static func encode(size: Int, _ body: (inout CBORWriter) -> Void) -> ByteBuffer {
        var writer = CBORWriter(capacity: size)
        body(&writer)
        return writer.buffer
    }
}

extension CBORWriter {
    package mutating func write(_ value: Int64) {
        if value >= 0 {
            self.writeHead(CBORSyntax.Major.unsigned, UInt64(value))
        } else {
            self.writeHead(CBORSyntax.Major.negative, UInt64(-1 - value))
        }
    }

    package mutating func write(_ value: Int32) { self.write(Int64(value)) }

    package mutating func write(_ value: Bool) { self.writeByte(value ? 0xF5 : 0xF4) }

    /// For the SDK's form of a tombstone; the server never sends it (docs/contract/wire.md §6).
    package mutating func writeNull() { self.writeByte(0xF6) }

    package mutating func write(_ text: String) {
        let length = text.utf8.count
        self.writeHead(CBORSyntax.Major.text, UInt64(length))
        self.count += length
        if !self.isMeasuring { self.buffer.writeString(text) }
    }

    package mutating func write(key: StaticString) {
        self.entries += 1
        self.writeHead(CBORSyntax.Major.text, UInt64(key.utf8CodeUnitCount))
        self.count += key.utf8CodeUnitCount
        if !self.isMeasuring { self.buffer.writeStaticString(key) }
    }

    /// A byte string of the readable bytes.
    package mutating func write(_ bytes: ByteBuffer) {
        self.writeHead(CBORSyntax.Major.bytes, UInt64(bytes.readableBytes))
        self.writeEncoded(bytes)
    }

    /// The canonical text, without making a `String`.
    package mutating func write<Subject>(_ id: Identifier<Subject>) {
        self.writeHead(CBORSyntax.Major.text, UInt64(UUIDText.length))
        self.count += UUIDText.length
        guard !self.isMeasuring else { return }
        let bits = id.bits
        let head = UUIDText.digits(of: UInt32(truncatingIfNeeded: bits >> 96))
        let middle = UUIDText.digits(of: UInt32(truncatingIfNeeded: bits >> 64))
        let variant = UUIDText.digits(of: UInt32(truncatingIfNeeded: bits >> 32))
        let tail = UUIDText.digits(of: UInt32(truncatingIfNeeded: bits))
        let hyphen = UInt8(ascii: "-")
        self.buffer.writeMultipleIntegers(
            head, hyphen,
            UInt32(truncatingIfNeeded: middle >> 32), hyphen,
            UInt32(truncatingIfNeeded: middle), hyphen,
            UInt32(truncatingIfNeeded: variant >> 32), hyphen,
            UInt32(truncatingIfNeeded: variant), tail
        )
    }

    /// Head of a map; `count` times a key and a value follow.
    package mutating func writeMap(_ count: Int) { self.writeHead(CBORSyntax.Major.map, UInt64(count)) }

    /// A map of fewer than 24 entries, counted while `body` writes them: each a `write(key:)` and one item.
    mutating func writeMap(_ body: (inout CBORWriter) -> Void) {
        let entriesAround = self.entries
        self.entries = 0
        let head = self.buffer.writerIndex
        self.writeMap(0)
        body(&self)
        precondition(self.entries < Self.smallMapEntries, "The head of a larger map is longer.")
        if !self.isMeasuring {
            self.buffer.setInteger(CBORSyntax.Major.map << 5 | UInt8(truncatingIfNeeded: self.entries), at: head)
        }
        self.entries = entriesAround
    }

    /// From this many entries on, the head of a map takes more than one byte.
    static var smallMapEntries: Int { 24 }

    /// Head of an array; `count` items follow.
    package mutating func writeArray(_ count: Int) { self.writeHead(CBORSyntax.Major.array, UInt64(count)) }

    /// One item that is encoded already.
    package mutating func writeEncoded(_ item: ByteBuffer) {
        self.count += item.readableBytes
        if !self.isMeasuring { self.buffer.writeImmutableBuffer(item) }
    }

    package mutating func writeArray(of elements: [some WireEncodable]) {
        self.writeArray(elements.count)
        for element in elements { element.encode(to: &self) }
    }

    /// The head of a text, whose bytes somebody else writes.
    mutating func writeTextHead(_ length: Int) { self.writeHead(CBORSyntax.Major.text, UInt64(length)) }

    private mutating func writeByte(_ byte: UInt8) {
        self.count += 1
        if !self.isMeasuring { self.buffer.writeInteger(byte) }
    }

    @inline(__always)
    private mutating func writeHead(_ major: UInt8, _ argument: UInt64) {
        if argument < 24 {
            self.writeByte(major << 5 | UInt8(truncatingIfNeeded: argument))
        } else {
            self.writeLongHead(major << 5, argument)
        }
    }

    private mutating func writeLongHead(_ major: UInt8, _ argument: UInt64) {
        switch argument {
        case ...0xFF:
            self.count += 2
            if !self.isMeasuring { self.buffer.writeMultipleIntegers(major | 24, UInt8(truncatingIfNeeded: argument)) }
        case ...0xFFFF:
            self.count += 3
            if !self.isMeasuring { self.buffer.writeMultipleIntegers(major | 25, UInt16(truncatingIfNeeded: argument)) }
        case ...0xFFFF_FFFF:
            self.count += 5
            if !self.isMeasuring { self.buffer.writeMultipleIntegers(major | 26, UInt32(truncatingIfNeeded: argument)) }
        default:
            self.count += 9
            if !self.isMeasuring { self.buffer.writeMultipleIntegers(major | 27, argument) }
        }
    }
}
