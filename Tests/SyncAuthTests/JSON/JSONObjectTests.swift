import SyncAuth
import Testing

@Suite("JSON objects of credentials")
struct JSONObjectTests {
    private func value(of source: String) throws -> JSONValue? {
        try JSONObject(Array(#"{"a":\#(source)}"#.utf8), keeping: ["a"])["a"]
    }

    @Test(
        "Values of every kind",
        arguments: [
            ("null", .null), ("true", .bool(true)), ("false", .bool(false)), (#""""#, .text("")),
            (#""é😀""#, .text("é😀")),
            (#""\"\\\/\b\f\n\r\t""#, .text("\"\\/\u{8}\u{c}\n\r\t")), (#""\u00e9\ud83d\uDE00\u0000""#, .text("é😀\0")),
            ("-0.5e+10", .number(Array("-0.5e+10".utf8)[...])), ("0", .number([48])),
            ("1E-2", .number(Array("1E-2".utf8)[...])),
            ("[]", .array(Array("[]".utf8)[...])), ("{ }", .object(Array("{ }".utf8)[...])),
            (#"[1,{"b":[]}]"#, .array(Array(#"[1,{"b":[]}]"#.utf8)[...])),
        ] as [(String, JSONValue)])
    func values(source: String, expected: JSONValue) throws {
        #expect(try self.value(of: source) == expected)
    }

    @Test(
        "Grammar errors, kept and skipped alike",
        arguments: [
            "", "nul", "nulL", "True", "'x'", "01", "-", "+1", "1.", ".5", "1e", "1e+", "0x1", "NaN", "[1,]", "[,]",
            "[1 2]",
            "[1}", "{]", #"{"b"}"#, #"{"b":}"#, #"{"b":1,}"#, #"{b:1}"#, "{1:1}", #""x"#, "\"\n\"", "\"\u{1}\"",
            #""\x""#,
            #""\u12""#, #""\u12g4""#, #""\ud83d""#, #""\ud83dx""#, #""\ud83d\n""#, #""\ud83d\u0041""#, #""\ude00""#,
            #""\"#,
            "1 1", "[", "]", "tru\u{301}e", "\u{feff}1", "1//",
        ])
    func grammar(source: String) {
        for name in ["a", "other"] {
            #expect(throws: JSONError.malformed) {
                _ = try JSONObject(Array(#"{"a":\#(source)}"#.utf8), keeping: [name])
            }
        }
    }

    @Test("What ends or interrupts a text is found behind any number of other characters")
    func runs() throws {
        for count in 0...20 {
            for filler in ["x", "!", "#", "[", "]", "~", "\u{7f}", "é", "😀"] {
                let run = String(repeating: filler, count: count)
                #expect(try self.value(of: #""\#(run)""#) == .text(run))
                #expect(try self.value(of: #""\#(run)\u0041\#(run)\n""#) == .text(run + "A" + run + "\n"))
                #expect(try self.value(of: #"["\#(run)","\#(run)\"\#(run)"]"#)?.texts == [run, run + "\"" + run])
                for control in UInt8(0)..<0x20 {
                    let broken = "\"" + run + String(UnicodeScalar(control)) + run + "\""
                    #expect(throws: JSONError.malformed) { try self.value(of: broken) }
                }
                #expect(throws: JSONError.malformed) { try self.value(of: #""\#(run)"#) }
            }
        }
    }

    @Test(
        "Only one object with white space around it counts",
        arguments: ["", " ", "[]", "1", "null", "{} {}", "{},", "{"])
    func topLevel(source: String) {
        #expect(throws: JSONError.malformed) { _ = try JSONObject(Array(source.utf8), keeping: []) }
    }

    @Test("White space is free everywhere between tokens")
    func whiteSpace() throws {
        let source = " \t\r\n{ \"a\" : [ 1 , \"b\" ] ,\n\"c\" : { \"d\" : null , \"e\" : [ ] } } \n"
        let object = try JSONObject(Array(source.utf8), keeping: ["a"])
        #expect(object["a"]?.elements == [.number([49]), .text("b")])
        #expect(object.firstUnknownName == "c")
    }

    @Test("Text that is not UTF-8 is an error, in skipped members too")
    func invalidUTF8() {
        for bytes: [UInt8] in [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xc0, 0x80]] {
            let source = Array(#"{"a":""#.utf8) + bytes + Array(#""}"#.utf8)
            #expect(throws: JSONError.malformed) { _ = try JSONObject(source, keeping: []) }
        }
    }

    @Test("Duplicates are reported after unescaping, unknown names are not duplicates")
    func duplicates() throws {
        let source = #"{"iss":1,"x":1,"\u0069ss":2,"x":2}"#
        let object = try JSONObject(Array(source.utf8), keeping: ["iss"])
        #expect(object.duplicates == ["iss"])
        #expect(object.firstUnknownName == "x")
    }

    @Test("Nesting is bounded at 63 and costs no stack")
    func depth() throws {
        func nested(_ depth: Int) -> [UInt8] {
            Array((#"{"a":"# + String(repeating: "[", count: depth) + String(repeating: "]", count: depth) + "}").utf8)
        }
        _ = try JSONObject(nested(63), keeping: [])
        #expect(throws: JSONError.tooDeep) { _ = try JSONObject(nested(64), keeping: []) }
        #expect(throws: JSONError.tooDeep) { _ = try JSONObject(nested(1_000_000), keeping: ["a"]) }
    }

    @Test("A text cut at any byte is an error, never a crash")
    func truncation() {
        let source = Array(#"{"a":[1.5e3,"\ud83d\ude00é",{"b":null}],"c":true} "#.utf8)
        for end in 0..<(source.count - 1) {
            #expect(throws: JSONError.malformed) { _ = try JSONObject(Array(source[..<end]), keeping: ["a"]) }
        }
    }

    @Test(
        "Integers",
        arguments: [
            ("0", 0), ("18446744073709551615", .max), ("18446744073709551616", nil), ("99999999999999999999", nil),
            ("-1", nil), ("-0", nil), ("1.0", nil), ("1e3", nil), (#""1""#, nil), ("null", nil),
        ] as [(String, UInt64?)])
    func integers(source: String, expected: UInt64?) throws {
        #expect(try self.value(of: source)?.unsignedInteger == expected)
    }

    @Test("A list of texts holds nothing else")
    func texts() throws {
        #expect(try self.value(of: #"["a","b"]"#)?.texts == ["a", "b"])
        #expect(try self.value(of: "[]")?.texts == [])
        #expect(try self.value(of: #"["a",1]"#)?.texts == nil)
        #expect(try self.value(of: #""a""#)?.texts == nil)
    }
}
