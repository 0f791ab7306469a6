public import NIOCore

/// Reads CBOR items (RFC 8949) from a buffer, without an intermediate tree: strict, bounded, no allocation beyond the input.
///
/// Byte strings are slices of the buffer. After an error the position is unspecified; the reader is to be dropped.
public struct CBORReader: Sendable {
    private let buffer: ByteBuffer
    /// Bytes read.
    private var offset = 0
    /// Containers entered, at most `Limits.cborDepthMax`.
    private var depth = 0

    public init(_ buffer: ByteBuffer) { self.buffer = buffer }

    /// Bytes not read yet.
    package var remainingBytes: Int { self.buffer.readableBytes - self.offset }
}

// MARK: - Scalars

extension CBORReader {
    /// - Throws: `.typeMismatch` for anything but an integer, floats included; `.outOfRange`.
    package mutating func readInt64() throws(CBORError) -> Int64 {
        let head = try self.readHead()
        switch head.major {
        case CBORSyntax.Major.unsigned:
            guard let value = Int64(exactly: head.argument) else { throw .outOfRange }
            return value
        case CBORSyntax.Major.negative:
            guard let value = Int64(exactly: head.argument) else { throw .outOfRange }
            return -1 - value
        default: throw .typeMismatch
        }
    }

    /// - Throws: `.typeMismatch` for anything but an integer, floats included; `.outOfRange`.
    package mutating func readInt32() throws(CBORError) -> Int32 {
        guard let value = Int32(exactly: try self.readInt64()) else { throw .outOfRange }
        return value
    }

    package mutating func readBool() throws(CBORError) -> Bool {
        let head = try self.readHead()
        switch (head.major, head.info) {
        case (CBORSyntax.Major.simple, 20): return false
        case (CBORSyntax.Major.simple, 21): return true
        default: throw .typeMismatch
        }
    }

    /// Moves behind a `null` or `undefined`, if one is next: both mean an absent value (docs/contract/wire.md §7.2).
    package mutating func readNil() throws(CBORError) -> Bool {
        let next = try self.peek()
        guard next == 0xF6 || next == 0xF7 else { return false }
        self.offset += 1
        return true
    }

    /// A definite or indefinite text.
    package mutating func readText() throws(CBORError) -> String {
        var offset = self.offset
        let text = try Self.text(self.buffer.readableBytesUInt8Span, at: &offset)
        self.offset = offset
        return text
    }

    /// A byte string: a slice of the input, copied only when it comes in chunks.
    package mutating func readBytes() throws(CBORError) -> ByteBuffer {
        var offset = self.offset
        let bytes = try self.byteString(at: &offset)
        self.offset = offset
        return bytes
    }

    private static func text(_ bytes: Span<UInt8>, at offset: inout Int) throws(CBORError) -> String {
        let head = try CBORSyntax.readHead(bytes, at: &offset)
        guard head.major == CBORSyntax.Major.text else { throw .typeMismatch }
        guard head.isIndefinite else {
            let start = offset
            offset += try CBORSyntax.stringLength(head, bytes, at: offset)
            return try Self.string(bytes, start..<offset)
        }
        var text = ""
        while let chunk = try CBORSyntax.skipChunk(of: head.major, bytes, at: &offset) {
            text += try Self.string(bytes, chunk)
        }
        return text
    }

    private func byteString(at offset: inout Int) throws(CBORError) -> ByteBuffer {
        let bytes = self.buffer.readableBytesUInt8Span
        let head = try CBORSyntax.readHead(bytes, at: &offset)
        guard head.major == CBORSyntax.Major.bytes else { throw .typeMismatch }
        guard head.isIndefinite else {
            let start = offset
            offset += try CBORSyntax.stringLength(head, bytes, at: offset)
            return try self.slice(start..<offset)
        }
        var joined = ByteBuffer()
        while let chunk = try CBORSyntax.skipChunk(of: head.major, bytes, at: &offset) {
            joined.writeImmutableBuffer(try self.slice(chunk))
        }
        return joined
    }

    private static func string(_ bytes: Span<UInt8>, _ range: Range<Int>) throws(CBORError) -> String {
        do { return String(copying: try UTF8Span(validating: bytes.extracting(range))) } catch { throw .malformed }
    }

    private func slice(_ range: Range<Int>) throws(CBORError) -> ByteBuffer {
        guard let slice = self.buffer.getSlice(at: self.buffer.readerIndex + range.lowerBound, length: range.count)
        else { throw .truncated }
        return slice
    }

    private mutating func readHead() throws(CBORError) -> CBORSyntax.Head {
        var offset = self.offset
        let head = try CBORSyntax.readHead(self.buffer.readableBytesUInt8Span, at: &offset)
        self.offset = offset
        return head
    }

    /// The next byte, not yet read.
    private func peek() throws(CBORError) -> UInt8 {
        let bytes = self.buffer.readableBytesUInt8Span
        guard self.offset < bytes.count else { throw .truncated }
        return bytes[self.offset]
    }
}

// MARK: - Optional values

extension CBORReader {
    package mutating func readOptionalText() throws(CBORError) -> String? {
        try self.readNil() ? nil : try self.readText()
    }

    package mutating func readOptionalBytes() throws(CBORError) -> ByteBuffer? {
        try self.readNil() ? nil : try self.readBytes()
    }

    package mutating func readOptionalInt64() throws(CBORError) -> Int64? {
        try self.readNil() ? nil : try self.readInt64()
    }

    package mutating func readOptionalInt32() throws(CBORError) -> Int32? {
        try self.readNil() ? nil : try self.readInt32()
    }

    package mutating func readOptionalBool() throws(CBORError) -> Bool? {
        try self.readNil() ? nil : try self.readBool()
    }
}

// MARK: - Whole items

extension CBORReader {
    /// Moves behind one item of any type, checking that it is well-formed.
    package mutating func skip() throws(CBORError) {
        var offset = self.offset
        try CBORSyntax.skipItem(self.buffer.readableBytesUInt8Span, at: &offset, depth: self.depth)
        self.offset = offset
    }

    /// Moves behind one item of any type and returns its bytes.
    package mutating func readItem() throws(CBORError) -> ByteBuffer {
        let start = self.offset
        try self.skip()
        return try self.slice(start..<self.offset)
    }
}

// MARK: - Containers

/// The position inside an array: `while try reader.next(in: &array) { … }` reads one item a turn.
package struct CBORArray {
    /// `nil` when indefinite.
    fileprivate var remaining: Int?
}

/// The position inside a map: `while let field = try reader.next(in: &map) { … }` reads one value a turn.
package struct CBORMap<Field: WireField> {
    /// `nil` when indefinite.
    fileprivate var remaining: Int?
    fileprivate var seen: UInt64 = 0
}

extension CBORReader {
    package mutating func readArray() throws(CBORError) -> CBORArray {
        CBORArray(remaining: try self.enter(CBORSyntax.Major.array))
    }

    /// True while another item follows; the caller reads it whole before the next call.
    package mutating func next(in array: inout CBORArray) throws(CBORError) -> Bool {
        try self.hasEntry(&array.remaining)
    }

    package mutating func readMap<Field>(of fields: Field.Type) throws(CBORError) -> CBORMap<Field> {
        CBORMap(remaining: try self.enter(CBORSyntax.Major.map))
    }

    /// The next known field, whose value the caller reads whole before the next call; `nil` at the end of the map.
    /// Other keys are skipped with their values, however often they occur.
    ///
    /// - Throws: `.duplicateKey` for a known key that may not repeat; `.typeMismatch` for a key that is not a definite text.
    package mutating func next<Field>(in map: inout CBORMap<Field>) throws(CBORError) -> Field? {
        while try self.hasEntry(&map.remaining) {
            guard let (field, mask) = try self.readKey(of: Field.self) else {
                try self.skip()
                continue
            }
            guard map.seen & mask == 0 || field.mayRepeat else { throw .duplicateKey }
            map.seen |= mask
            return field
        }
        return nil
    }

    /// Items of one kind. Memory grows with the items read, never with the count declared.
    package mutating func readArray<Element: WireDecodable>(of element: Element.Type) throws(CBORError) -> [Element] {
        try self.readElements { (reader) throws(CBORError) in try Element(from: &reader) }
    }

    package mutating func readTexts() throws(CBORError) -> [String] {
        try self.readElements { (reader) throws(CBORError) in try reader.readText() }
    }

    @inline(__always)
    mutating func readElements<Element>(
        _ read: (inout CBORReader) throws(CBORError) -> Element
    ) throws(CBORError) -> [Element] {
        var elements: [Element] = []
        var array = try self.readArray()
        elements.reserveCapacity(min(array.remaining ?? 0, Self.reservedElementsMax))
        while try self.next(in: &array) { elements.append(try read(&self)) }
        return elements
    }

    /// A map whose known keys are `keys`, at most 64. `read` gets the index of a key and reads its value whole. Other keys
    /// are skipped with their values, however often they occur.
    ///
    /// - Returns: A bit for each key that was there.
    /// - Throws: `.duplicateKey` for a known key; `.typeMismatch` for a key that is not a definite text.
    mutating func readMap(
        keys: [[UInt8]], _ read: (Int, inout CBORReader) throws(CBORError) -> Void
    ) throws(CBORError) -> UInt64 {
        var seen: UInt64 = 0
        var remaining = try self.enter(CBORSyntax.Major.map)
        while try self.hasEntry(&remaining) {
            guard let index = try self.readKey(of: keys) else {
                try self.skip()
                continue
            }
            guard seen & (1 << UInt64(index)) == 0 else { throw .duplicateKey }
            seen |= 1 << UInt64(index)
            try read(index, &self)
        }
        return seen
    }

    private mutating func readKey(of keys: [[UInt8]]) throws(CBORError) -> Int? {
        var offset = self.offset
        let index = try Self.index(in: keys, self.buffer.readableBytesUInt8Span, at: &offset)
        self.offset = offset
        return index
    }

    private static func index(
        in keys: [[UInt8]], _ bytes: Span<UInt8>, at offset: inout Int
    ) throws(CBORError) -> Int? {
        let range = try Self.keyRange(bytes, at: &offset)
        for index in keys.indices where CBORSyntax.equal(keys[index], bytes.extracting(range)) { return index }
        try CBORSyntax.validateUTF8(bytes, range)
        return nil
    }

    private static var reservedElementsMax: Int { 1_024 }

    private mutating func enter(_ major: UInt8) throws(CBORError) -> Int? {
        let head = try self.readHead()
        guard head.major == major else { throw .typeMismatch }
        guard self.depth < Limits.cborDepthMax else { throw .tooDeep }
        self.depth += 1
        if head.isIndefinite { return nil }
        return try CBORSyntax.entryCount(head, self.buffer.readableBytesUInt8Span, at: self.offset)
    }

    private mutating func hasEntry(_ remaining: inout Int?) throws(CBORError) -> Bool {
        if let count = remaining {
            if count > 0 {
                remaining = count - 1
                return true
            }
        } else {
            guard try self.peek() == 0xFF else { return true }
            self.offset += 1
        }
        self.depth -= 1
        return false
    }

    private mutating func readKey<Field: WireField>(of fields: Field.Type) throws(CBORError) -> (Field, UInt64)? {
        var offset = self.offset
        let known = try Self.key(of: Field.self, self.buffer.readableBytesUInt8Span, at: &offset)
        self.offset = offset
        return known
    }

    private static func key<Field: WireField>(
        of fields: Field.Type, _ bytes: Span<UInt8>, at offset: inout Int
    ) throws(CBORError) -> (Field, UInt64)? {
        let range = try Self.keyRange(bytes, at: &offset)
        if let known = Field.table.lookup(bytes.extracting(range)) { return known }
        try CBORSyntax.validateUTF8(bytes, range)
        return nil
    }

    /// The bytes of a map key, a definite text.
    private static func keyRange(_ bytes: Span<UInt8>, at offset: inout Int) throws(CBORError) -> Range<Int> {
        let head = try CBORSyntax.readHead(bytes, at: &offset)
        guard head.major == CBORSyntax.Major.text, !head.isIndefinite else { throw .typeMismatch }
        let start = offset
        offset += try CBORSyntax.stringLength(head, bytes, at: offset)
        return start..<offset
    }
}
