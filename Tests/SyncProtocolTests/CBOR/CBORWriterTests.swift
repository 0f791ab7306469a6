import NIOCore
import SyncProtocol
import SyncTesting
import Testing

@Suite("CBOR writer")
struct CBORWriterTests {
    private func written(_ body: (inout CBORWriter) -> Void) -> String {
        var writer = CBORWriter()
        body(&writer)
        return hex(writer.buffer)
    }

    private func expect(_ expected: String, _ body: (inout CBORWriter) -> Void) {
        let bytes = self.written(body)
        #expect(bytes == expected)
    }

    @Test(
        "wire §6: integers in their shortest form",
        arguments: [
            (0, "00"), (23, "17"), (24, "1818"), (255, "18ff"), (256, "190100"), (65_535, "19ffff"),
            (65_536, "1a00010000"),
            (4_294_967_295, "1affffffff"), (4_294_967_296, "1b0000000100000000"), (Int64.max, "1b7fffffffffffffff"),
            (-1, "20"), (-24, "37"), (-25, "3818"), (-256, "38ff"), (-257, "390100"), (Int64.min, "3b7fffffffffffffff"),
        ] as [(Int64, String)]
    )
    func integers(value: Int64, expected: String) {
        self.expect(expected) { $0.write(value) }
        if let small = Int32(exactly: value) { self.expect(expected) { $0.write(small) } }
    }

    @Test("wire §6: strings, booleans and containers")
    func otherTypes() {
        self.expect("60") { $0.write("") }
        self.expect("65c3bce6b0b4") { $0.write("ü水") }
        self.expect("657370616365") { $0.write(key: "space") }
        self.expect("40") { $0.write(ByteBuffer()) }
        self.expect("420102") { $0.write(ByteBuffer(bytes: [1, 2])) }
        self.expect("f5") { $0.write(true) }
        self.expect("f4") { $0.write(false) }
        self.expect("f6") { $0.writeNull() }
        self.expect("a0") { $0.writeMap(0) }
        self.expect("b818") { $0.writeMap(24) }
        self.expect("9903e8") { $0.writeArray(1_000) }
        self.expect("8101") { $0.writeEncoded(buffer("8101")) }
    }

    @Test("wire §6: only the readable part of a buffer is written")
    func readablePart() {
        var bytes = ByteBuffer(bytes: [9, 1, 2, 9])
        bytes.moveReaderIndex(forwardBy: 1)
        bytes.moveWriterIndex(to: 3)
        self.expect("420102") { $0.write(bytes) }
    }

    @Test("wire §16: an identifier is written as its canonical text")
    func identifiers() throws {
        var generator = SeededRandom(seed: 3)
        for _ in 0..<1_000 {
            let id = RecordID(bits: UInt128.random(in: 0 ... .max, using: &generator))
            self.expect(self.written { $0.write(id.wireText) }) { $0.write(id) }
        }
        let digits = try #require(SpaceID(wireText: "01234567-89ab-cdef-fedc-ba9876543210"))
        self.expect(self.written { $0.write("01234567-89ab-cdef-fedc-ba9876543210") }) { $0.write(digits) }
    }
}
