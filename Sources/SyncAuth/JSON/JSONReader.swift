package enum JSONError: Error, Hashable, Sendable {
    /// Not JSON (RFC 8259), not UTF-8, or not the kind of value that was expected at the top.
    case malformed
    /// Nested deeper than `JSONReader.depthMax`.
    case tooDeep
}

/// A cursor over JSON text. Checks the whole grammar, keeps only what it is asked for and never recurses, so that text
/// from a peer costs memory and stack in proportion to what is wanted of it.
struct JSONReader {
    /// Arrays and objects inside one another.
    static let depthMax = 63

    private let text: ArraySlice<UInt8>
    private var position: Int

    /// - Throws: `.malformed` when `text` is not UTF-8.
    init(_ text: ArraySlice<UInt8>) throws(JSONError) {
        do { _ = try UTF8Span(validating: text.span) } catch { throw .malformed }
        self.init(checked: text)
    }

    /// - Parameter text: Part of a text that another reader has walked.
    init(checked text: ArraySlice<UInt8>) {
        self.text = text
        self.position = text.startIndex
    }

    /// Takes `byte`, which may follow white space.
    mutating func take(_ byte: UInt8) -> Bool {
        guard self.peek() == byte else { return false }
        self.position += 1
        return true
    }

    mutating func expect(_ byte: UInt8) throws(JSONError) {
        guard self.take(byte) else { throw .malformed }
    }

    mutating func expectEnd() throws(JSONError) {
        guard self.peek() == nil else { throw .malformed }
    }

    /// Reads a member's name and the colon after it.
    mutating func readName() throws(JSONError) -> String {
        let name = try self.readText()
        try self.expect(UInt8(ascii: ":"))
        return name
    }

    mutating func readValue() throws(JSONError) -> JSONValue {
        guard let first = self.peek() else { throw .malformed }
        if first == UInt8(ascii: "\"") { return .text(try self.readText()) }
        let start = self.position
        try self.skipValue()
        let source = self.text[start..<self.position]
        switch first {
        case UInt8(ascii: "{"): return .object(source)
        case UInt8(ascii: "["): return .array(source)
        case UInt8(ascii: "t"): return .bool(true)
        case UInt8(ascii: "f"): return .bool(false)
        case UInt8(ascii: "n"): return .null
        default: return .number(source)
        }
    }

    /// Checks one value of any kind and moves behind it.
    mutating func skipValue() throws(JSONError) {
        // One bit per open container, the innermost lowest: 1 is an object, 0 an array.
        var containers: UInt64 = 0
        var depth = 0
        while true {
            if let isObject = try self.openContainer() {
                guard depth < Self.depthMax else { throw .tooDeep }
                depth += 1
                containers = containers << 1 | (isObject ? 1 : 0)
                let close = isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")
                if self.peek() != close {
                    if isObject { try self.skipName() }
                    continue
                }
            } else {
                try self.skipScalar()
            }
            while depth > 0 {
                let isObject = containers & 1 == 1
                if self.take(isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) {
                    containers >>= 1
                    depth -= 1
                    continue
                }
                try self.expect(UInt8(ascii: ","))
                if isObject { try self.skipName() }
                break
            }
            if depth == 0 { return }
        }
    }

    /// The next byte that is not white space; the cursor stands on it.
    private mutating func peek() -> UInt8? {
        while self.position < self.text.endIndex {
            switch self.text[self.position] {
            case 0x20, 0x09, 0x0a, 0x0d: self.position += 1
            case let byte: return byte
            }
        }
        return nil
    }

    /// Takes an opening bracket: `true` of an object, `false` of an array, `nil` when something else comes.
    private mutating func openContainer() throws(JSONError) -> Bool? {
        if self.take(UInt8(ascii: "{")) { return true }
        if self.take(UInt8(ascii: "[")) { return false }
        return nil
    }

    private mutating func skipName() throws(JSONError) {
        try self.skipText()
        try self.expect(UInt8(ascii: ":"))
    }

    private mutating func skipScalar() throws(JSONError) {
        switch self.peek() {
        case UInt8(ascii: "\""): try self.skipText()
        case UInt8(ascii: "t"): try self.skipLiteral("true")
        case UInt8(ascii: "f"): try self.skipLiteral("false")
        case UInt8(ascii: "n"): try self.skipLiteral("null")
        default: try self.skipNumber()
        }
    }

    private mutating func skipLiteral(_ literal: StaticString) throws(JSONError) {
        let end = self.position + literal.utf8CodeUnitCount
        guard end <= self.text.endIndex else { throw .malformed }
        let matches = literal.withUTF8Buffer { self.text[self.position..<end].elementsEqual($0) }
        guard matches else { throw .malformed }
        self.position = end
    }

    private mutating func skipNumber() throws(JSONError) {
        self.skipByte(UInt8(ascii: "-"))
        if !self.skipByte(UInt8(ascii: "0")) { try self.skipDigits() }
        if self.skipByte(UInt8(ascii: ".")) { try self.skipDigits() }
        if self.skipByte(UInt8(ascii: "e")) || self.skipByte(UInt8(ascii: "E")) {
            if !self.skipByte(UInt8(ascii: "+")) { self.skipByte(UInt8(ascii: "-")) }
            try self.skipDigits()
        }
    }

    @discardableResult
    private mutating func skipByte(_ byte: UInt8) -> Bool {
        guard self.position < self.text.endIndex, self.text[self.position] == byte else { return false }
        self.position += 1
        return true
    }

    private mutating func skipDigits() throws(JSONError) {
        let start = self.position
        while self.position < self.text.endIndex,
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self.text[self.position])
        {
            self.position += 1
        }
        guard self.position > start else { throw .malformed }
    }
}

// MARK: - Strings

extension JSONReader {
    mutating func readText() throws(JSONError) -> String {
        try self.expect(UInt8(ascii: "\""))
        let run = self.plainRun()
        guard var unescaped = try self.endOrEscape() else { return String(decoding: run, as: UTF8.self) }
        var bytes = Array(run)
        while true {
            bytes += Array(String(Character(unescaped)).utf8)
            bytes += self.plainRun()
            guard let next = try self.endOrEscape() else { return String(decoding: bytes, as: UTF8.self) }
            unescaped = next
        }
    }

    private mutating func skipText() throws(JSONError) {
        try self.expect(UInt8(ascii: "\""))
        repeat { _ = self.plainRun() } while try self.endOrEscape() != nil
    }

    /// Bytes up to the next quotation mark, backslash or control character.
    private mutating func plainRun() -> ArraySlice<UInt8> {
        let start = self.position
        let rest = self.text[start...]
        self.position += rest.span.bytes.plainPrefix
        return self.text[start..<self.position]
    }

    /// `nil` at the closing quotation mark, otherwise the character that an escape stands for.
    private mutating func endOrEscape() throws(JSONError) -> Unicode.Scalar? {
        if self.skipByte(UInt8(ascii: "\"")) { return nil }
        guard self.skipByte(UInt8(ascii: "\\")), self.position < self.text.endIndex else { throw .malformed }
        let kind = self.text[self.position]
        self.position += 1
        switch kind {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(kind)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{c}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return try self.readUnicodeEscape()
        default: throw .malformed
        }
    }

    /// What follows `\u`. A surrogate without its partner is an error.
    private mutating func readUnicodeEscape() throws(JSONError) -> Unicode.Scalar {
        let first = try self.readCodeUnit()
        if let scalar = Unicode.Scalar(first) { return scalar }
        guard UTF16.isLeadSurrogate(first), self.skipByte(UInt8(ascii: "\\")), self.skipByte(UInt8(ascii: "u")) else {
            throw .malformed
        }
        let second = try self.readCodeUnit()
        guard UTF16.isTrailSurrogate(second) else { throw .malformed }
        let value = 0x10000 + (UInt32(first) - 0xd800) << 10 + (UInt32(second) - 0xdc00)
        guard let scalar = Unicode.Scalar(value) else { throw .malformed }
        return scalar
    }

    private mutating func readCodeUnit() throws(JSONError) -> UInt16 {
        guard self.position + 4 <= self.text.endIndex else { throw .malformed }
        var unit: UInt16 = 0
        for byte in self.text[self.position..<self.position + 4] {
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else { throw .malformed }
            unit = unit << 4 | UInt16(digit)
        }
        self.position += 4
        return unit
    }
}

extension RawSpan {
    /// Bytes before the first quotation mark, backslash or control character. Looks at eight at once: a delegation is
    /// mostly the text of its proof.
    fileprivate var plainPrefix: Int {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let quotes = ones * UInt64(UInt8(ascii: "\""))
        let backslashes = ones * UInt64(UInt8(ascii: "\\"))
        var offset = 0
        while offset + 8 <= self.byteCount {
            let word = UInt64(littleEndian: self.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
            let quote = word ^ quotes
            let backslash = word ^ backslashes
            // A subtraction borrows into the high bit of a byte that is below what is taken from it. Bytes after the first
            // such may be wrong, the first never is.
            let control = (word &- ones * 0x20) & ~word
            let special = (control | (quote &- ones) & ~quote | (backslash &- ones) & ~backslash) & (ones << 7)
            if special != 0 { return offset + special.trailingZeroBitCount / 8 }
            offset += 8
        }
        while offset < self.byteCount {
            let byte = self.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt8.self)
            if byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { break }
            offset += 1
        }
        return offset
    }
}
