import Foundation
import NIOCore
import SyncProtocol
import SyncTesting
import Testing

@Suite("Identifiers")
struct IdentifierTests {
    static let canonical = "d205899b-b9fb-4d6e-8159-8578661a574c"

    static let valid = [
        "019400e8-7b5d-7000-8000-000000000001",
        Self.canonical,
        "5a4bfc46-90cf-517c-9cd7-c5ca19f890d3",
        "D205899B-B9FB-4D6E-8159-8578661A574C",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
    ]

    static let invalid = [
        "invalid-id", "abc", "not-a-valid-uuid", "", "019400e87b5d70008000000000000001", "019400e8-7b5d-7000-8000",
        "019400e8-7b5d-7000-8000-000000000001x",
        // One fact changed: a digit out of range, a hyphen moved, missing or doubled, white space, other alphabets.
        "g19400e8-7b5d-7000-8000-000000000001", "019400e8-7b5d-7000-8000-00000000000g",
        "019400e87-b5d-7000-8000-000000000001", "019400e8-7b5d-7000-80000-00000000001",
        "019400e8_7b5d_7000_8000_000000000001", "019400e8--b5d-7000-8000-000000000001",
        "019400e8-7b5d-7000-8000-00000000000 ", " 19400e8-7b5d-7000-8000-000000000001",
        "019400e8-7b5d-7000-8000-0000000000é", "019400e8-7b5d-7000-8000-00000000000é",
        "+19400e8-7b5d-7000-8000-000000000001", "019400e8-7b5d-7000-8000-00000000000\0",
    ]

    @Test("Wire text is the hyphenated form in any case; the output is canonical", arguments: Self.valid)
    func wireText(text: String) throws {
        let id = try #require(SpaceID(wireText: text))
        #expect(id.wireText == text.lowercased())
        #expect(id.description == text.lowercased())
        #expect(id.rawValue == UUID(uuidString: text))
        #expect(SpaceID(anyUUIDText: text) == id)
    }

    @Test("Any other text is no wire text", arguments: Self.invalid)
    func notWireText(text: String) { #expect(SpaceID(wireText: text) == nil) }

    @Test(
        "The wider reader also takes 32 digits, braces and a URN",
        arguments: [
            "d205899bb9fb4d6e81598578661a574c", "D205899BB9FB4D6E81598578661A574C",
            "{d205899b-b9fb-4d6e-8159-8578661a574c}", "urn:uuid:d205899b-b9fb-4d6e-8159-8578661a574c",
        ]
    )
    func otherForms(text: String) {
        #expect(SpaceID(anyUUIDText: text)?.wireText == Self.canonical)
        #expect(SpaceID(wireText: text) == nil)
    }

    @Test(
        "The wider reader takes nothing else",
        arguments: [
            "", "d205899bb9fb4d6e81598578661a574", "d205899bb9fb4d6e81598578661a574g",
            "(d205899b-b9fb-4d6e-8159-8578661a574c}", "{d205899b-b9fb-4d6e-8159-8578661a574c)",
            "{d205899bb9fb4d6e81598578661a574c}", "urn:uuid:d205899bb9fb4d6e81598578661a574c",
            "urn_uuid:d205899b-b9fb-4d6e-8159-8578661a574c", "urn:uuid:d205899b-b9fb-4d6e-8159-8578661a574g",
            "{d205899b-b9fb-4d6e-8159-8578661a574g}",
        ]
    )
    func notAnyForm(text: String) { #expect(SpaceID(anyUUIDText: text) == nil) }

    @Test("Bytes are big-endian and exactly 16")
    func bytes() throws {
        let id = try #require(RecordID(wireText: "00112233-4455-6677-8899-aabbccddeeff"))
        #expect(id.bytes == (0...15).map { UInt8($0 * 0x11) })
        #expect(id.bits == 0x0011_2233_4455_6677_8899_AABB_CCDD_EEFF)
        #expect(RecordID(bits: id.bits) == id)
        #expect(RecordID(bytes: id.bytes) == id)
        #expect(RecordID(bytes: ByteBuffer(integer: id.bits).readableBytesView) == id)
        #expect(RecordID(bytes: id.bytes.dropLast()) == nil)
        #expect(RecordID(bytes: id.bytes + [0]) == nil)
        #expect(RecordID(bytes: [UInt8]()) == nil)
    }

    @Test("Order is that of the bytes")
    func order() throws {
        var generator = SeededRandom(seed: 1)
        for _ in 0..<1_000 {
            let left = RecordID(bits: UInt128.random(in: 0 ... .max, using: &generator))
            let right = RecordID(bits: left.bits ^ (1 << UInt128.random(in: 0...127, using: &generator)))
            #expect((left < right) == left.bytes.lexicographicallyPrecedes(right.bytes))
            #expect((right < left) == !(left < right))
        }
    }

    @Test("Random text survives the way there and back, and agrees with Foundation")
    func roundTrip() {
        var generator = SeededRandom(seed: 2)
        for _ in 0..<2_000 {
            let id = FileID(bits: UInt128.random(in: 0 ... .max, using: &generator))
            #expect(id.wireText == id.rawValue.uuidString.lowercased())
            #expect(FileID(wireText: id.rawValue.uuidString) == id)
        }
    }

    @Test("Random identifiers are version 4 and differ")
    func random() {
        let ids = (0..<100).map { _ in ConnectionID.random() }
        #expect(Set(ids).count == ids.count)
        for id in ids {
            #expect(id.bytes[6] >> 4 == 4)
            #expect(id.bytes[8] >> 6 == 0b10)
        }
    }
}
