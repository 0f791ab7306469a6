import Crypto
import SyncProtocol
import Synchronization
import Testing

@testable import SyncAuth

@Suite("Signatures that have been verified", .timeLimit(.minutes(1)))
struct VerifiedSignaturesTests {
    private let key = P256.Signing.PrivateKey()
    private let other = P256.Signing.PrivateKey()

    private func token(_ payload: String, by key: P256.Signing.PrivateKey) throws -> String {
        try key.compactJWS(header: Array(#"{"alg":"ES256"}"#.utf8), payload: Array(payload.utf8))
    }

    @Test("only what was verified is remembered, for the key and the text it was verified with")
    func facts() throws {
        let signatures = VerifiedSignatures()
        let token = try self.token("{}", by: self.key)
        let jws = try #require(CompactJWS(token))
        for _ in 1...3 { #expect(signatures.isSigned(jws, by: self.key.publicKey)) }
        #expect(signatures.count == 1)
        #expect(!signatures.isSigned(jws, by: self.other.publicKey))

        let parts = token.split(separator: ".")
        let foreign = try self.token("{}", by: self.other).split(separator: ".")
        let longer = try self.token(#"{"a":1}"#, by: self.key).split(separator: ".")
        for forged in ["\(parts[0]).\(parts[1]).\(foreign[2])", "\(parts[0]).\(longer[1]).\(parts[2])"] {
            let jws = try #require(CompactJWS(forged))
            for _ in 1...2 { #expect(!signatures.isSigned(jws, by: self.key.publicKey)) }
        }
        let unsigned = try #require(CompactJWS("\(parts[0]).\(parts[1]).AAAA"))
        #expect(!signatures.isSigned(unsigned, by: self.key.publicKey))
        #expect(signatures.count == 1)
    }

    @Test("memory is bounded")
    func bounded() throws {
        let signatures = VerifiedSignatures(countMax: 4)
        for number in 1...20 {
            let jws = try #require(CompactJWS(self.token("\(number)", by: self.key)))
            #expect(signatures.isSigned(jws, by: self.key.publicKey))
            #expect(signatures.count <= 4)
        }
    }

    private final class ChangingKeys: KeySource {
        let keys: Mutex<[String: P256.Signing.PublicKey]>

        init(_ keys: [String: P256.Signing.PublicKey]) { self.keys = Mutex(keys) }

        func key(_ keyID: String) async -> P256.Signing.PublicKey? { self.keys.withLock { $0[keyID] } }
    }

    @Test("a token is judged anew each time: its key may have gone, its time be over")
    func judgedAnew() async throws {
        let keys = ChangingKeys(["k": self.key.publicKey])
        let now = Mutex<UInt64>(100)
        let validator = JWTValidator(keySources: ["https://a": keys], now: { now.withLock { $0 } })
        let token = try self.key.compactJWS(
            header: Array(#"{"alg":"ES256","kid":"k"}"#.utf8),
            payload: Array(#"{"iss":"https://a","sub":"u","client_id":"c","exp":200}"#.utf8))
        for _ in 1...2 { #expect(try await validator.validate(token).userID == "u") }
        now.withLock { $0 = 201 }
        await #expect(throws: TokenError.expired) { try await validator.validate(token) }
        now.withLock { $0 = 100 }
        for key in [nil, self.other.publicKey] {
            keys.keys.withLock { $0["k"] = key }
            await #expect(throws: TokenError.invalid) { try await validator.validate(token) }
        }
        keys.keys.withLock { $0["k"] = self.key.publicKey }
        #expect(try await validator.validate(token).userID == "u")
    }
}
