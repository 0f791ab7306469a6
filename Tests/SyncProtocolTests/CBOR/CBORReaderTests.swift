import NIOCore
import SyncProtocol
import Testing

@Suite("CBOR reader")
struct CBORReaderTests {
    // MARK: - Well-formedness

    @Test(
        "RFC 8949 Appendix A: every item is well-formed and exactly as long as it is",
        arguments: Fixtures.wellFormedItems)
    func wellFormed(item: Fixtures.WellFormedItem) throws {
        var bytes = buffer(item.hex)
        var reader = CBORReader(bytes)
        try reader.skip()
        #expect(reader.remainingBytes == 0)

        bytes.writeInteger(UInt8(0))
        reader = CBORReader(bytes)
        #expect(try hex(reader.readItem()) == item.hex)
        #expect(try reader.readInt64() == 0)

        for length in 0..<(bytes.readableBytes - 1) {
            var truncated = CBORReader(bytes.getSlice(at: bytes.readerIndex, length: length) ?? ByteBuffer())
            #expect(throws: CBORError.truncated) { try truncated.skip() }
        }
    }

    @Test("RFC 8949 Appendix A: values", arguments: Fixtures.wellFormedItems.filter { $0.kind != nil })
    func values(item: Fixtures.WellFormedItem) throws {
        var reader = CBORReader(buffer(item.hex))
        switch try #require(item.kind) {
        case .int: #expect(try String(reader.readInt64()) == item.value)
        case .bool: #expect(try String(reader.readBool()) == item.value)
        case .text: #expect(try reader.readText() == item.value)
        case .bytes: #expect(try hex(reader.readBytes()) == item.value)
        case .nil: #expect(try reader.readNil())
        }
        #expect(reader.remainingBytes == 0)
    }

    @Test(
        "RFC 8949 Appendix F: what is not well-formed is refused, alone and inside a map",
        arguments: Fixtures.malformedItems)
    func malformed(item: Fixtures.MalformedItem) {
        var reader = CBORReader(buffer(item.hex))
        #expect(throws: CBORError.self) { try reader.skip() }

        let nested = buffer("a2 6161" + item.hex)
        #expect(throws: CBORError.self) { try NoFields(nested) }
    }

    @Test(
        "C21: a text that is not UTF-8 is malformed, read or skipped, as value, key or chunk",
        arguments: ["61ff", "62c328", "63e28228", "64f0288cbc", "63eda080", "62c080", "61c3", "64f5808080"]
    )
    func invalidUTF8(text: String) {
        var reader = CBORReader(buffer(text))
        #expect(throws: CBORError.malformed) { try reader.readText() }
        reader = CBORReader(buffer("7f \(text) ff"))
        #expect(throws: CBORError.malformed) { try reader.readText() }
        for whole in [
            text, "81 \(text)", "a1 \(text) 00", "a1 00 \(text)", "7f \(text) ff", "c0 \(text)", "bf \(text) 00 ff",
        ] {
            reader = CBORReader(buffer(whole))
            #expect(throws: CBORError.malformed) { try reader.skip() }
        }
        #expect(throws: CBORError.malformed) { try NoFields(buffer("a1 \(text) 00")) }
        #expect(throws: CBORError.malformed) { try NoFields(buffer("a1 6161 \(text)")) }
    }

    @Test("C21: a character cut by a chunk boundary is malformed")
    func splitCharacter() {
        var reader = CBORReader(buffer("7f 61c3 61bc ff"))
        #expect(throws: CBORError.malformed) { try reader.readText() }
    }

    // MARK: - Bounds

    @Test("wire §7.2: 64 levels are accepted, 65 refused", arguments: ["81", "9f", "a100", "bf00", "c1", "d818"])
    func depth(opening: String) throws {
        let closing = opening == "9f" || opening == "bf00" ? "ff" : ""
        func nested(_ levels: Int) -> ByteBuffer {
            buffer(String(repeating: opening, count: levels) + "00" + String(repeating: closing, count: levels))
        }
        var reader = CBORReader(nested(64))
        try reader.skip()
        #expect(reader.remainingBytes == 0)
        reader = CBORReader(nested(65))
        #expect(throws: CBORError.tooDeep) { try reader.skip() }
        reader = CBORReader(nested(100_000))
        #expect(throws: CBORError.tooDeep) { try reader.skip() }
    }

    @Test("wire §7.2: typed reading counts the same levels")
    func typedDepth() throws {
        var reader = CBORReader(buffer(String(repeating: "81", count: 65) + "00"))
        for _ in 0..<64 { _ = try reader.readArray() }
        #expect(throws: CBORError.tooDeep) { try reader.readArray() }

        reader = CBORReader(buffer(String(repeating: "81", count: 65) + "00"))
        for _ in 0..<10 { _ = try reader.readArray() }
        #expect(throws: CBORError.tooDeep) { try reader.skip() }

        // Leaving a container gives its level back.
        reader = CBORReader(buffer("82 80" + String(repeating: "81", count: 63) + "00"))
        var outer = try reader.readArray()
        #expect(try reader.next(in: &outer))
        var inner = try reader.readArray()
        #expect(try !reader.next(in: &inner))
        #expect(try reader.next(in: &outer))
        try reader.skip()
        #expect(try !reader.next(in: &outer))
        #expect(reader.remainingBytes == 0)
    }

    @Test(
        "wire §7.2: a length or count beyond the input is refused before anything is allocated",
        arguments: ["5b", "7b", "9b", "bb"],
        ["7fffffffffffffff", "ffffffffffffffff", "8000000000000000", "0000000100000000", "0000000000000009"]
    )
    func hugeLength(initial: String, length: String) {
        let bytes = buffer(initial + length + "0000000000000000")
        var reader = CBORReader(bytes)
        #expect(throws: CBORError.truncated) { try reader.skip() }
        reader = CBORReader(bytes)
        #expect(throws: CBORError.truncated) {
            switch initial {
            case "5b": _ = try reader.readBytes()
            case "7b": _ = try reader.readText()
            case "9b": _ = try reader.readTexts()
            default: _ = try NoFields(bytes)
            }
        }
    }

    @Test("wire §7.2: a map needs two bytes an entry")
    func mapCount() throws {
        #expect(throws: CBORError.truncated) { try NoFields(buffer("a3 6000 6000 00")) }
        _ = try NoFields(buffer("a2 6000 6000 00"))
    }

    // MARK: - Integers

    @Test(
        "wire §7.2: integers of any width within 64 bits",
        arguments: [
            ("00", 0), ("1800", 0), ("190000", 0), ("1a00000000", 0), ("1b0000000000000000", 0), ("20", -1),
            ("3800", -1), ("3b0000000000000000", -1), ("1b7fffffffffffffff", Int64.max),
            ("3b7fffffffffffffff", Int64.min),
            ("1a80000000", 2_147_483_648), ("3a80000000", -2_147_483_649),
        ] as [(String, Int64)]
    )
    func integers(hex: String, value: Int64) throws {
        var reader = CBORReader(buffer(hex))
        #expect(try reader.readInt64() == value)
        reader = CBORReader(buffer(hex))
        #expect(try reader.readOptionalInt64() == value)

        reader = CBORReader(buffer(hex))
        if let small = Int32(exactly: value) {
            #expect(try reader.readInt32() == small)
            reader = CBORReader(buffer(hex))
            #expect(try reader.readOptionalInt32() == small)
        } else {
            #expect(throws: CBORError.outOfRange) { try reader.readInt32() }
        }
    }

    @Test(
        "wire §7.2: integers beyond 64 bits are out of range",
        arguments: ["1b8000000000000000", "3b8000000000000000", "1bffffffffffffffff", "3bffffffffffffffff"])
    func integersOutOfRange(hex: String) {
        var reader = CBORReader(buffer(hex))
        #expect(throws: CBORError.outOfRange) { try reader.readInt64() }
    }

    // MARK: - Types

    @Test("W-47: an item of another type is refused for each typed read")
    func typeMismatch() {
        let items = [
            "int": "00", "bytes": "4101", "text": "6161", "array": "8101", "map": "a0", "tag": "c100",
            "float": "f93c00",
            "false": "f4", "simple": "f0", "null": "f6", "undefined": "f7", "double": "fb3ff0000000000000",
        ]
        for (kind, item) in items {
            func expectMismatch(unless accepted: Set<String>, _ read: (inout CBORReader) throws -> Void) {
                guard !accepted.contains(kind) else { return }
                var reader = CBORReader(buffer(item))
                #expect(throws: CBORError.typeMismatch, "\(kind)") { try read(&reader) }
            }
            expectMismatch(unless: ["int"]) { _ = try $0.readInt64() }
            expectMismatch(unless: ["int"]) { _ = try $0.readInt32() }
            expectMismatch(unless: ["false"]) { _ = try $0.readBool() }
            expectMismatch(unless: ["text"]) { _ = try $0.readText() }
            expectMismatch(unless: ["bytes"]) { _ = try $0.readBytes() }
            expectMismatch(unless: ["array"]) { _ = try $0.readArray() }
            expectMismatch(unless: ["map"]) { _ = try $0.readMap(of: NoFields.Field.self) }
            expectMismatch(unless: ["int", "null", "undefined"]) { _ = try $0.readOptionalInt64() }
            expectMismatch(unless: ["int", "null", "undefined"]) { _ = try $0.readOptionalInt32() }
            expectMismatch(unless: ["false", "null", "undefined"]) { _ = try $0.readOptionalBool() }
            expectMismatch(unless: ["text", "null", "undefined"]) { _ = try $0.readOptionalText() }
            expectMismatch(unless: ["bytes", "null", "undefined"]) { _ = try $0.readOptionalBytes() }
        }
    }

    @Test("W-44: null and undefined are absent for every optional type", arguments: ["f6", "f7"])
    func absent(item: String) throws {
        func expectNil<Value: Equatable>(_ read: (inout CBORReader) throws -> Value?) throws {
            var reader = CBORReader(buffer(item))
            let value = try read(&reader)
            #expect(value == nil)
            #expect(reader.remainingBytes == 0)
        }
        try expectNil { try $0.readOptionalText() }
        try expectNil { try $0.readOptionalBytes() }
        try expectNil { try $0.readOptionalInt64() }
        try expectNil { try $0.readOptionalInt32() }
        try expectNil { try $0.readOptionalBool() }
        var reader = CBORReader(buffer("00"))
        #expect(try !reader.readNil())
        #expect(reader.remainingBytes == 1)
    }

    @Test("Nothing can be read from an empty input")
    func empty() {
        var reader = CBORReader(ByteBuffer())
        #expect(throws: CBORError.truncated) { try reader.skip() }
        #expect(throws: CBORError.truncated) { try reader.readInt64() }
        #expect(throws: CBORError.truncated) { try reader.readNil() }
        #expect(throws: CBORError.truncated) { try reader.readOptionalText() }
        #expect(throws: CBORError.truncated) { try reader.readMap(of: NoFields.Field.self) }
    }

    // MARK: - Strings

    @Test("A4: byte strings share the memory of the message")
    func slices() throws {
        var message = ByteBuffer(bytes: [0x00, 0x00])
        message.writeBytes([0x58, 100])
        message.writeBytes((0..<100).map { UInt8($0) })
        message.moveReaderIndex(forwardBy: 2)
        var reader = CBORReader(message)
        let bytes = try reader.readBytes()
        #expect(Array(bytes.readableBytesView) == (0..<100).map { UInt8($0) })
        let distance = message.withUnsafeReadableBytes { whole in
            bytes.withUnsafeReadableBytes { part in
                part.baseAddress.flatMap { start in whole.baseAddress.map { start - $0 } }
            }
        }
        #expect(distance == 2)
    }

    @Test("wire §7.2: strings in chunks are joined")
    func chunks() throws {
        var reader = CBORReader(buffer("5f ff 5f 40 4101 420203 ff 7f ff 7f 60 6161 62c3bc ff"))
        #expect(try reader.readBytes() == ByteBuffer())
        #expect(try reader.readBytes() == ByteBuffer(bytes: [1, 2, 3]))
        #expect(try reader.readText() == "")
        #expect(try reader.readText() == "aü")
        #expect(reader.remainingBytes == 0)
    }

    @Test("wire §7.2: a chunk of another type, or in chunks itself, is malformed")
    func wrongChunks() {
        var reader = CBORReader(buffer("5f 6161 ff"))
        #expect(throws: CBORError.malformed) { try reader.readBytes() }
        reader = CBORReader(buffer("7f 4161 ff"))
        #expect(throws: CBORError.malformed) { try reader.readText() }
        reader = CBORReader(buffer("7f 7f 6161 ff ff"))
        #expect(throws: CBORError.malformed) { try reader.readText() }
        reader = CBORReader(buffer("5f 4101"))
        #expect(throws: CBORError.truncated) { try reader.readBytes() }
    }

    // MARK: - Containers

    @Test(
        "Arrays, definite and not",
        arguments: ["83 01 02 03", "9f 01 02 03 ff", "9803 01 02 03", "9b0000000000000003 01 02 03"])
    func arrays(hex: String) throws {
        var reader = CBORReader(buffer(hex + "07"))
        var array = try reader.readArray()
        var values: [Int64] = []
        while try reader.next(in: &array) { values.append(try reader.readInt64()) }
        #expect(values == [1, 2, 3])
        #expect(try reader.readInt64() == 7)
    }

    @Test("wire §7.2: keys in any order, unknown ones skipped, known ones once")
    func maps() throws {
        #expect(try TwoFields(buffer("a2 6161 01 6162 02")) == TwoFields(a: 1, b: 2))
        #expect(try TwoFields(buffer("bf 6162 02 6161 01 ff")) == TwoFields(a: 1, b: 2))
        #expect(try TwoFields(buffer("a5 6163 820102 6162 02 6163 a0 6161 01 60 f97e00")) == TwoFields(a: 1, b: 2))
        #expect(try TwoFields(buffer("a1 6162 02")) == TwoFields(a: nil, b: 2))
        #expect(try TwoFields(buffer("a2 7801 61 01 790001 62 02")) == TwoFields(a: 1, b: 2))
        #expect(throws: CBORError.duplicateKey) { try TwoFields(buffer("a2 6161 01 6161 01")) }
        #expect(throws: CBORError.duplicateKey) { try TwoFields(buffer("a2 6161 f6 6161 01")) }
        #expect(throws: CBORError.truncated) { try TwoFields(buffer("a2 6161 01")) }
        #expect(throws: CBORError.truncated) { try TwoFields(buffer("bf 6161 01")) }
    }

    @Test(
        "wire §7.2: keys are definite texts",
        arguments: ["a1 01 02", "a1 4161 02", "a1 7f6161ff 01", "bf f6 01 ff", "a1 80 01"])
    func keys(hex: String) { #expect(throws: CBORError.typeMismatch) { try TwoFields(buffer(hex)) } }
}

/// A map of which no key is known.
private struct NoFields {
    enum Field: String, WireField {
        case unlikely

        static let table = WireFieldTable<Self>()
    }

    @discardableResult
    init(_ buffer: ByteBuffer) throws {
        var reader = CBORReader(buffer)
        var map = try reader.readMap(of: Field.self)
        while try reader.next(in: &map) != nil { try reader.skip() }
    }
}

private struct TwoFields: Equatable {
    var a: Int64?
    var b: Int64?

    private enum Field: String, WireField {
        case a, b

        static let table = WireFieldTable<Self>()
    }

    init(a: Int64?, b: Int64?) {
        self.a = a
        self.b = b
    }

    init(_ buffer: ByteBuffer) throws {
        var reader = CBORReader(buffer)
        var map = try reader.readMap(of: Field.self)
        while let field = try reader.next(in: &map) {
            switch field {
            case .a: self.a = try reader.readOptionalInt64()
            case .b: self.b = try reader.readOptionalInt64()
            }
        }
    }
}
