import SyncAuth
import Testing

@Suite("Strict base64url")
struct Base64URLTests {
    @Test(
        "Round trip (RFC 4648 §10 without padding, and both special characters)",
        arguments: [
            ("", []), ("Zg", [102]), ("Zm8", [102, 111]), ("Zm9v", [102, 111, 111]), ("Zm9vYg", Array("foob".utf8)),
            ("Zm9vYmE", Array("fooba".utf8)), ("Zm9vYmFy", Array("foobar".utf8)), ("-_-_", [0xfb, 0xff, 0xbf]),
            ("09azAQ", [0xd3, 0xd6, 0xb3, 0x01]),
        ] as [(String, [UInt8])])
    func roundTrip(text: String, bytes: [UInt8]) {
        #expect(Base64URL.encode(bytes) == text)
        #expect(Base64URL.decode(text) == bytes)
    }

    @Test("Every length and byte value survives")
    func allLengths() {
        for count in 0...257 {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ count) }
            #expect(Base64URL.decode(Base64URL.encode(bytes)) == bytes)
        }
    }

    @Test("A character outside the alphabet is found at every place, the characters of the alphabet are not")
    func alphabet() {
        let alphabet = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
        for count in [16, 19, 20] {
            for index in 0..<count - 1 {
                for character in UInt8.min ... .max {
                    var text = [UInt8](repeating: UInt8(ascii: "A"), count: count)
                    text[index] = character
                    let decoded = Base64URL.decode(text[...])
                    #expect((decoded != nil) == alphabet.contains(character), "\(character) at \(index) of \(count)")
                    if let decoded { #expect(Array(Base64URL.encode(decoded).utf8) == text) }
                }
            }
        }
    }

    @Test("A slice is decoded from its own start to its own end")
    func slice() {
        let text = Array("!!Zm9vYmFyZm9vYmFy!!".utf8)
        #expect(Base64URL.decode(text[2..<18]) == Array("foobarfoobar".utf8))
    }

    @Test(
        "Padding, white space, standard alphabet, trailing bits and impossible lengths are errors",
        arguments: [
            "Zg==", "Zm8=", "Zg=", "=", "Zm9v=", " Zg", "Zg ", "Z g", "Zg\n", "Zm9v\r\n", "+_-_", "-/-_", "A", "AAAAA",
            "Zh", "Zm9", "Zm9vYh", "Zé", "Z\u{0}", "Z.", "!!!", "Zg\u{301}",
        ])
    func strictness(text: String) {
        #expect(Base64URL.decode(text) == nil)
    }
}
