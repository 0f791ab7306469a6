import Testing

@testable import SyncTransport

@Suite("UTF-8 validator")
struct UTF8ValidatorTests {
    static let valid: [[UInt8]] = [
        [], Array("hello".utf8), Array("κόσμε".utf8), Array("日本語 🎉".utf8), Array("0123456789abcdefé".utf8),
        [0xC2, 0x80], [0xDF, 0xBF], [0xE0, 0xA0, 0x80], [0xED, 0x9F, 0xBF], [0xEE, 0x80, 0x80], [0xEF, 0xBF, 0xBF],
        [0xF0, 0x90, 0x80, 0x80], [0xF4, 0x8F, 0xBF, 0xBF], [0x00], [0x7F],
    ]

    /// Each with the index of the byte that no continuation could make valid.
    static let invalid: [(bytes: [UInt8], at: Int)] = [
        ([0x80], 0), ([0xBF], 0), ([0xC0, 0x80], 0), ([0xC1, 0xBF], 0), ([0xC2, 0x41], 1), ([0xE0, 0x9F, 0xBF], 1),
        ([0xED, 0xA0, 0x80], 1), ([0xE1, 0x80, 0xC0], 2), ([0xF0, 0x8F, 0xBF, 0xBF], 1), ([0xF4, 0x90, 0x80, 0x80], 1),
        ([0xF5, 0x80], 0), ([0xFF], 0), ([0x61, 0x62, 0xFE], 2), (Array("0123456789".utf8) + [0xF8], 10),
        ([0xF1, 0x80, 0x80, 0x7F], 3),
    ]

    @Test("accepts well-formed text, whole and byte by byte", arguments: valid)
    func accepts(bytes: [UInt8]) {
        var whole = UTF8Validator()
        #expect(consume(bytes, &whole))
        #expect(whole.isComplete)
        var pieces = UTF8Validator()
        for byte in bytes { #expect(consume([byte], &pieces)) }
        #expect(pieces.isComplete)
    }

    @Test("refuses ill-formed text at the first hopeless byte", arguments: invalid)
    func refuses(bytes: [UInt8], at index: Int) {
        var whole = UTF8Validator()
        #expect(!consume(bytes, &whole))
        var pieces = UTF8Validator()
        for (offset, byte) in bytes.enumerated().prefix(index + 1) {
            #expect(consume([byte], &pieces) == (offset < index))
        }
    }

    @Test("knows when a character is cut", arguments: [[0xC2], [0xE2, 0x82], [0xF0, 0x9F, 0x8E]] as [[UInt8]])
    func incomplete(bytes: [UInt8]) {
        var validator = UTF8Validator()
        #expect(consume(bytes, &validator))
        #expect(!validator.isComplete)
    }

    @Test("agrees with the standard library on every sequence of one and two bytes")
    func exhaustive() {
        for first in UInt8.min ... .max {
            #expect(isValid([first]) == (String(validating: [first], as: UTF8.self) != nil))
            for second in UInt8.min ... .max {
                let bytes = [first, second]
                #expect(isValid(bytes) == (String(validating: bytes, as: UTF8.self) != nil))
            }
        }
    }

    private func consume(_ bytes: [UInt8], _ validator: inout UTF8Validator) -> Bool {
        validator.consume(bytes.span.bytes)
    }

    private func isValid(_ bytes: [UInt8]) -> Bool {
        var validator = UTF8Validator()
        return validator.consume(bytes.span.bytes) && validator.isComplete
    }
}
