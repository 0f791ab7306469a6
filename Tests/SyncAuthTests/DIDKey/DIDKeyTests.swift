import Crypto
import Foundation
import SyncTesting
import Testing

@testable import SyncAuth

@Suite("did:key")
struct DIDKeyTests {
    @Test("DID-1: a DID decodes to its key and encodes back to the same text")
    func roundTrip() throws {
        let text = "did:key:zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv"
        let key = try DIDKey(text)
        let x = "8a0ac59a2d3086e8a12a78fd4773a6d52a0ca61ef6c1419e15a05bcc6dafce7b"
        let y = "79fb17e5bd74c7cca3cab8f89f2de919f2dc63b5dbcb52b382a39daa7b2b2483"
        #expect(Array(key.publicKey.rawRepresentation) == [UInt8](hex: x + y))
        #expect(key.text == text)
        #expect(DIDKey(key.publicKey).text == text)
    }

    @Test(
        "DID-2: the test keys encode to their DIDs and decode back",
        arguments: ["accounts", "root", "alice", "bob", "carol"])
    func vectors(name: String) throws {
        let vector = try Fixture.key(name)
        let publicKey = try vector.privateKey().publicKey
        let encoded = DIDKey(publicKey)
        #expect(encoded.text == vector.did)
        #expect(encoded.compressed == [UInt8](hex: vector.compressedPublicKey))
        let decoded = try DIDKey(vector.did)
        #expect(decoded.publicKey.rawRepresentation == publicKey.rawRepresentation)
        #expect(decoded.compressed == encoded.compressed)
        #expect(decoded.publicKey.rawRepresentation.suffix(32) == Data(try #require([UInt8](hex: vector.y))))
    }

    private static let refusals: [(id: String, text: String, error: DIDKeyError)] = [
        ("DID-3", "", .missingPrefix),
        ("DID-3", "did:web:example.com", .missingPrefix),
        ("DID-3", "did:key:abc", .missingPrefix),
        ("DID-3", "did:key:z", .missingPrefix),
        ("DID-4", "did:key:z0OOOl", .base58),
        ("DID-4", "did:key:zDnä", .base58),
        ("DID-5", "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK", .wrongMulticodec(0xed)),
        ("DID-6", "did:key:zDnaerx9CtbPJ1q36T5Ln5wYt", .wrongMulticodec(0x5)),
        ("DID-7", "did:key:z3u1q1ZchN8WayoLLgmD8TK2zQKgdbK6Kn2Y2LktYXTN2ZBX", .wrongPointLength(32)),
        (
            "DID-8",
            "did:key:z4oJ8dHrcNBcfYdJYkuN9r8rEknoEjQVk2sD9oGxTK2yrvnYspWiucr2EMedWGENDVGMUEQknwBdvJwF6XMqjMZRAocrJ",
            .wrongPointLength(65)
        ),
        ("DID-9", "did:key:zDnaeQRy3dcKsKa1zmKtVKsTy3m2HYoQnFnfKuxD6HfSTQgYg", .invalidPoint),
        ("DID-10", "did:key:zDnafCiGvf3uBmkF8Taux8Jn5ZAGSkwVpcwr2QFfq1LnaNzjH", .invalidPoint),
        ("DID-11", "did:key:z3D", .invalidVarint(.truncated)),
        ("DID-11", "did:key:z26Uw2Vvq8EnJ7hRG", .invalidVarint(.tooLong)),
        ("DID-12", "did:key:z" + String(repeating: "2", count: 257), .inputTooLong(257)),
    ]

    @Test("DID-3 to DID-12: each broken DID fails in its own way", arguments: 0..<Self.refusals.count)
    func refused(index: Int) {
        let (id, text, error) = Self.refusals[index]
        #expect(throws: error, "\(id)") { try DIDKey(text) }
    }

    @Test("Ten bytes that all continue are too long a varint, not a truncated one")
    func varintOfTenBytes() {
        let text = "did:key:z" + Base58.encode([UInt8](repeating: 0x80, count: 10))
        #expect(throws: DIDKeyError.invalidVarint(.tooLong)) { try DIDKey(text) }
        let nine = "did:key:z" + Base58.encode([UInt8](repeating: 0x80, count: 9))
        #expect(throws: DIDKeyError.invalidVarint(.truncated)) { try DIDKey(nine) }
    }

    @Test("A longer encoding of the multicodec than needed is the same key under another name")
    func nonMinimalVarint() throws {
        let vector = try Fixture.key("alice")
        let compressed = try #require([UInt8](hex: vector.compressedPublicKey))
        let key = try DIDKey("did:key:z" + Base58.encode([0x80, 0xa4, 0x00] + compressed))
        #expect(key.compressed == compressed)
        #expect(key.text != vector.did)
    }

    @Test("The prefix 05 of compact points is not accepted")
    func compactPrefix() throws {
        var compressed = try #require([UInt8](hex: try Fixture.key("alice").compressedPublicKey))
        compressed[0] = 5
        let text = "did:key:z" + Base58.encode([0x80, 0x24] + compressed)
        #expect(throws: DIDKeyError.invalidPoint) { try DIDKey(text) }
    }

    @Test("base58 keeps leading zeros and any bytes")
    func base58() {
        var random = SeededRandom(seed: 58)
        for length in 0..<80 {
            let zeros = [UInt8](repeating: 0, count: length % 4)
            let bytes = zeros + (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
            #expect(Base58.decode(Base58.encode(bytes).utf8) == bytes)
        }
        #expect(Base58.encode([0, 0]) == "11")
        #expect(Base58.encode(Array("Hello World!".utf8)) == "2NEpo7TZRRrLZSi2U")
    }

    @Test("Each failure has the text of the contract")
    func descriptions() {
        #expect(DIDKeyError.missingPrefix.description == "invalid did:key: missing did:key:z prefix")
        #expect(DIDKeyError.inputTooLong(257).description == "invalid did:key: base58 input too long: 257")
        #expect(DIDKeyError.base58.description == "invalid did:key: base58 decode failed")
        #expect(DIDKeyError.invalidVarint(.tooLong).description == "invalid did:key: varint decode failed: too long")
        #expect(DIDKeyError.invalidVarint(.truncated).description == "invalid did:key: varint decode failed: truncated")
        #expect(
            DIDKeyError.wrongMulticodec(0xed).description
                == "invalid did:key: expected P-256 multicodec 0x1200, got 0xed")
        #expect(
            DIDKeyError.wrongPointLength(65).description
                == "invalid did:key: expected 33-byte compressed point, got 65")
        #expect(DIDKeyError.invalidPoint.description == "invalid did:key: point not on P-256 curve")
    }
}
