/// The grammar of RFC 8949 §3 over bytes: heads, and skipping whole items without reading them.
///
/// Offsets move only forward, so work is linear in the input whatever it says.
enum CBORSyntax {
    /// Initial byte and argument of an item.
    struct Head {
        let major: UInt8
        let info: UInt8
        /// Value of an integer, length of a string, count of a container. 0 when indefinite.
        let argument: UInt64

        var isIndefinite: Bool { self.info == 31 }
        var isBreak: Bool { self.major == 7 && self.info == 31 }
    }

    enum Major {
        static let unsigned: UInt8 = 0
        static let negative: UInt8 = 1
        static let bytes: UInt8 = 2
        static let text: UInt8 = 3
        static let array: UInt8 = 4
        static let map: UInt8 = 5
        static let tag: UInt8 = 6
        static let simple: UInt8 = 7
    }

    @inline(__always)
    static func readHead(_ bytes: Span<UInt8>, at offset: inout Int) throws(CBORError) -> Head {
        guard offset < bytes.count else { throw .truncated }
        let initial = bytes[offset]
        let major = initial >> 5
        let info = initial & 0x1F
        if info < 24 {
            offset += 1
            return Head(major: major, info: info, argument: UInt64(info))
        }
        return try Self.readLongHead(bytes, at: &offset, major: major, info: info)
    }

    private static func readLongHead(
        _ bytes: Span<UInt8>, at offset: inout Int, major: UInt8, info: UInt8
    ) throws(CBORError) -> Head {
        switch info {
        case 24...27:
            let width = 1 << Int(info - 24)
            guard bytes.count - offset > width else { throw .truncated }
            var argument: UInt64 = 0
            for index in (offset + 1)...(offset + width) { argument = (argument << 8) | UInt64(bytes[index]) }
            // A simple value below 32 has only the one-byte form (RFC 8949 §3.3).
            if major == Major.simple, width == 1, argument < 32 { throw .malformed }
            offset += 1 + width
            return Head(major: major, info: info, argument: argument)
        case 31 where major >= Major.bytes && major != Major.tag:
            offset += 1
            return Head(major: major, info: info, argument: 0)
        default:
            throw .malformed
        }
    }

    /// The length of a definite string whose head ended at `offset`: never more than what remains.
    @inline(__always)
    static func stringLength(_ head: Head, _ bytes: Span<UInt8>, at offset: Int) throws(CBORError) -> Int {
        guard head.argument <= UInt64(bytes.count - offset) else { throw .truncated }
        return Int(head.argument)
    }

    /// The count of a definite container whose head ended at `offset`. Each entry takes one byte at least, two in a map.
    @inline(__always)
    static func entryCount(_ head: Head, _ bytes: Span<UInt8>, at offset: Int) throws(CBORError) -> Int {
        let entryBytesMin: UInt64 = head.major == Major.map ? 2 : 1
        guard head.argument <= UInt64(bytes.count - offset) / entryBytesMin else { throw .truncated }
        return Int(head.argument)
    }

    /// Whether a key of a map is `name`.
    static func equal(_ name: [UInt8], _ key: Span<UInt8>) -> Bool {
        guard name.count == key.count else { return false }
        for index in name.indices where name[index] != key[index] { return false }
        return true
    }

    static func validateUTF8(_ bytes: Span<UInt8>, _ range: Range<Int>) throws(CBORError) {
        do { _ = try UTF8Span(validating: bytes.extracting(range)) } catch { throw .malformed }
    }

    /// Moves behind one whole item and checks that it is well-formed and its texts are UTF-8.
    ///
    /// - Parameter depth: Containers around the item. The recursion ends at `Limits.cborDepthMax`.
    static func skipItem(_ bytes: Span<UInt8>, at offset: inout Int, depth: Int) throws(CBORError) {
        let head = try Self.readHead(bytes, at: &offset)
        try Self.skipContent(of: head, bytes, at: &offset, depth: depth)
    }

    private static func skipContent(
        of head: Head, _ bytes: Span<UInt8>, at offset: inout Int, depth: Int
    ) throws(CBORError) {
        switch head.major {
        case Major.unsigned, Major.negative: return
        case Major.bytes, Major.text:
            if head.isIndefinite {
                while try Self.skipChunk(of: head.major, bytes, at: &offset) != nil {}
            } else {
                try Self.skipString(head, bytes, at: &offset)
            }
        case Major.array, Major.map:
            guard depth < Limits.cborDepthMax else { throw .tooDeep }
            try Self.skipEntries(of: head, bytes, at: &offset, depth: depth + 1)
        case Major.tag:
            guard depth < Limits.cborDepthMax else { throw .tooDeep }
            try Self.skipItem(bytes, at: &offset, depth: depth + 1)
        default:
            if head.isBreak { throw .malformed }
        }
    }

    private static func skipEntries(
        of head: Head, _ bytes: Span<UInt8>, at offset: inout Int, depth: Int
    ) throws(CBORError) {
        let itemsPerEntry = head.major == Major.map ? 2 : 1
        guard head.isIndefinite else {
            let count = try Self.entryCount(head, bytes, at: offset)
            for _ in 0..<(count * itemsPerEntry) { try Self.skipItem(bytes, at: &offset, depth: depth) }
            return
        }
        while true {
            let first = try Self.readHead(bytes, at: &offset)
            if first.isBreak { return }
            try Self.skipContent(of: first, bytes, at: &offset, depth: depth)
            if itemsPerEntry == 2 { try Self.skipItem(bytes, at: &offset, depth: depth) }
        }
    }

    @discardableResult
    private static func skipString(
        _ head: Head, _ bytes: Span<UInt8>, at offset: inout Int
    ) throws(CBORError) -> Range<Int> {
        let length = try Self.stringLength(head, bytes, at: offset)
        let range = offset..<(offset + length)
        if head.major == Major.text { try Self.validateUTF8(bytes, range) }
        offset += length
        return range
    }

    /// The next chunk of an indefinite string, `nil` at its break. Chunks are definite and of the same type, and those
    /// of a text are UTF-8 each (RFC 8949 §3.2.3).
    static func skipChunk(
        of major: UInt8, _ bytes: Span<UInt8>, at offset: inout Int
    ) throws(CBORError) -> Range<Int>? {
        let head = try Self.readHead(bytes, at: &offset)
        if head.isBreak { return nil }
        guard head.major == major, !head.isIndefinite else { throw .malformed }
        return try Self.skipString(head, bytes, at: &offset)
    }
}
