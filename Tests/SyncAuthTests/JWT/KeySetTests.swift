import Crypto
import Foundation
import SyncAuth
import Testing

@Suite("Key sets")
struct KeySetTests {
    private static let good = [
        "kty": "EC", "crv": "P-256", "x": "3TDnvnt2gAt-MHtaor1Agb2ZOtGy5k_jVmnv5hCB2pI",
        "y": "HowKt1BtbguCz80EUOv_0sbWPaSKOy-7KUoWsmFHwlM", "kid": "key-1",
    ]

    private func keySet(_ keys: [Any]) throws -> KeySet {
        try KeySet(document: Array(JSONSerialization.data(withJSONObject: ["keys": keys])))
    }

    private func changed(_ changes: [String: Any?]) -> [String: Any] {
        var key: [String: Any] = Self.good
        for (name, value) in changes { key[name] = value }
        return key
    }

    @Test("The vector's key set holds the public key of its scalar")
    func vector() throws {
        let set = try KeySet(document: Array(Fixture.tokens().keySetDocument.utf8))
        let key = try #require(set.keys[ExactText("key-1")])
        #expect(set.keys.count == 1)
        #expect(set.skipped.isEmpty)
        let vector = try Fixture.key("accounts")
        #expect(key.rawRepresentation == (try vector.privateKey().publicKey.rawRepresentation))
        #expect(Array(key.compressedRepresentation) == [UInt8](hex: vector.compressedPublicKey))
        #expect(Array(key.rawRepresentation.suffix(32)) == [UInt8](hex: vector.y))
    }

    @Test(
        "JWT-20: a key that cannot be used is skipped for a named reason",
        arguments: [
            (["kty": "RSA"], .unsupportedKeyType), (["kty": "ec"], .unsupportedKeyType),
            (["crv": "P-384"], .unsupportedCurve),
            (["x": "!!!"], .invalidCoordinate),
            (["y": "HowKt1BtbguCz80EUOv_0sbWPaSKOy-7KUoWsmFHwlM="], .invalidCoordinate),
            (["x": "AN0w5757doALfjB7WqK9QIG9mTrRsuZP41Zp7-YQgdqS"], .invalidCoordinate), (["x": "AQ"], .notOnCurve),
            (["x": "", "y": ""], .notOnCurve),
        ] as [([String: String], KeySet.SkippedKey)])
    func unusable(changes: [String: String], reason: KeySet.SkippedKey) throws {
        let set = try self.keySet([self.changed(changes)])
        #expect(set.keys.isEmpty)
        #expect(set.skipped == [reason])
    }

    @Test("JWT-20: the names of the kinds")
    func kindNames() {
        let kinds: [KeySet.SkippedKey] = [.unsupportedKeyType, .unsupportedCurve, .invalidCoordinate, .notOnCurve]
        #expect(
            kinds.map(\.rawValue) == [
                "unsupported key type", "unsupported curve", "invalid coordinate", "not on curve",
            ])
    }

    @Test("JWT-21: a broken key does not spoil a good one")
    func brokenBesideGood() throws {
        let broken: [Any] = [1, NSNull(), "key", [], self.changed(["kid": nil]), self.changed(["x": 1])]
        let set = try self.keySet(broken + [Self.good])
        #expect(set.keys.keys.map(\.text) == ["key-1"])
        #expect(set.skipped == Array(repeating: .incomplete, count: 6))
    }

    @Test("JWT-22: an OKP key without y stands beside a good key")
    func foreignKey() throws {
        let set = try self.keySet([["kty": "OKP", "crv": "Ed25519", "x": "abc", "kid": "key-1"], Self.good])
        #expect(set.keys.keys.map(\.text) == ["key-1"])
        #expect(set.skipped == [.unsupportedKeyType])
    }

    @Test("Only kty, crv, x, y and kid are needed, and other members may be of any type")
    func optionalMembers() throws {
        #expect(try self.keySet([self.changed(["alg": 1, "use": NSNull(), "x5c": [1]])]).keys.count == 1)
    }

    @Test("Of several usable keys with one id the last wins")
    func duplicateIDs() throws {
        let signers = (0..<2).map { _ in TokenSigner(keyID: "key-1") }
        let keys = try signers.map { signer in
            let document = try JSONSerialization.jsonObject(with: Data(signer.keySetDocument)) as? [String: [Any]]
            return try #require(document?["keys"]?.first)
        }
        let set = try self.keySet(keys + [self.changed(["kty": "RSA"])])
        #expect(set.keys[ExactText("key-1")]?.rawRepresentation == signers[1].publicKey.rawRepresentation)
    }

    @Test("Key ids are told apart by their bytes: neither a Kelvin sign nor another form of é is the same")
    func bytesOfIDs() throws {
        let ids = ["K", "\u{212A}", "\u{E9}", "e\u{301}"]
        let set = try self.keySet(ids.map { self.changed(["kid": $0]) })
        #expect(Set(set.keys.keys.map { Array($0.text.utf8) }) == Set(ids.map { Array($0.utf8) }))
    }

    @Test("Coordinates shorter than 32 bytes are padded on the left and verify signatures")
    func shortCoordinates() throws {
        var key = P256.Signing.PrivateKey()
        while key.publicKey.rawRepresentation.first != 0 { key = P256.Signing.PrivateKey() }
        let x = Array(key.publicKey.rawRepresentation.prefix(32).drop { $0 == 0 })
        let y = Array(key.publicKey.rawRepresentation.suffix(32))
        let set = try self.keySet([self.changed(["x": Base64URL.encode(x), "y": Base64URL.encode(y)])])
        let found = try #require(set.keys[ExactText("key-1")])
        let token = try TokenSigner(privateKey: key).sign(TokenClaims(issuer: "a", subject: "b", clientID: "c"))
        #expect(CompactJWS(token)?.isSigned(by: found) == true)
    }

    @Test(
        "A document that is not an object with one list of keys is an error",
        arguments: [
            "", "[]", "{}", #"{"keys":{}}"#, #"{"keys":null}"#, #"{"keys":[],"keys":[]}"#, #"{"keys":[}"#, "<html>",
        ])
    func documents(source: String) {
        #expect(throws: JSONError.malformed) { _ = try KeySet(document: Array(source.utf8)) }
    }

    @Test("A document without keys replaces a set by nothing")
    func emptyDocument() throws {
        #expect(try self.keySet([]).keys.isEmpty)
    }
}
