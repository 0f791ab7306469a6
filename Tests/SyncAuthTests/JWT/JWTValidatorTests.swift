import Crypto
import Foundation
import SyncAuth
import SyncProtocol
import Testing

@Suite("Access tokens", .timeLimit(.minutes(1)))
struct JWTValidatorTests {
    private let issuer = TestIssuer()

    private func vectorValidator(
        audiences: [String] = [], issuer: String = "https://accounts.less.so", now: UInt64 = TokenVectors.now
    ) throws -> JWTValidator {
        let keys = try KeySet(document: Array(Fixture.tokens().keySetDocument.utf8)).keys
        return JWTValidator(keySources: [issuer: StaticKeySource(keys: keys)], audiences: audiences, now: { now })
    }

    @Test("JWT-1: vector J1 yields the identity of its claims")
    func vectorJ1() async throws {
        let vectors = try Fixture.tokens()
        let claims = try #require(
            try JSONSerialization.jsonObject(with: Data(vectors.claims.utf8)) as? [String: Any])
        let principal = try await self.vectorValidator().validate(vectors.j1)
        #expect(principal.issuer == "https://accounts.less.so")
        #expect(principal.userID == "user-1")
        #expect(principal.clientID == "11111111-1111-1111-1111-111111111111")
        #expect(principal.personalSpace?.rawValue == UUID(uuidString: "cf78fa75-e714-5073-8972-126a66255b39"))
        #expect(principal.did == claims["did"] as? String)
        #expect(principal.mailboxID == claims["mailbox_id"] as? String)
        #expect(principal.scopes == ["openid", "sync", "files"])
        #expect(principal.expiresAt == 4_102_444_800)
    }

    @Test("JWT-2: the audience is checked when audiences are configured")
    func audience() async throws {
        let token = try Fixture.tokens().j1
        _ = try await self.vectorValidator(audiences: ["less-sync"]).validate(token)
        await #expect(throws: TokenError.invalid) {
            try await self.vectorValidator(audiences: ["other"]).validate(token)
        }
    }

    @Test("JWT-3: trailing slashes of a configured issuer do not count")
    func configuredSlashes() async throws {
        _ = try await self.vectorValidator(issuer: "https://accounts.less.so///").validate(Fixture.tokens().j1)
    }

    @Test("JWT-4: vector J4 is valid and keeps the slash of its issuer; no expiry, no audience")
    func vectorJ4() async throws {
        let principal = try await self.vectorValidator().validate(Fixture.tokens().j4)
        #expect(principal.issuer == "https://accounts.less.so/")
        #expect(principal.expiresAt == nil)
        #expect(principal.personalSpace == nil)
        #expect(principal.did.isEmpty)
        #expect(principal.mailboxID.isEmpty)
        await #expect(throws: TokenError.invalid) {
            try await self.vectorValidator(audiences: ["less-sync"]).validate(Fixture.tokens().j4)
        }
    }

    @Test("JWT-5: vector J2 is expired")
    func vectorJ2() async throws {
        await #expect(throws: TokenError.expired) { try await self.vectorValidator().validate(Fixture.tokens().j2) }
    }

    @Test("JWT-6: a token is valid up to and including its expiry")
    func expiry() async throws {
        let token = try Fixture.tokens().j1
        _ = try await self.vectorValidator(now: 4_102_444_800).validate(token)
        await #expect(throws: TokenError.expired) {
            try await self.vectorValidator(now: 4_102_444_801).validate(token)
        }
    }

    @Test("JWT-7: vector J3 has no key id")
    func vectorJ3() async throws {
        await #expect(throws: TokenError.invalid) { try await self.vectorValidator().validate(Fixture.tokens().j3) }
    }

    @Test("JWT-8: a token of an unknown issuer costs no fetch")
    func unknownIssuer() async throws {
        let endpoint = TestEndpoint(self.issuer.signer.keySetDocument)
        let validator = JWTValidator(
            issuers: [TrustedIssuer("https://other.example")], audiences: [], fetcher: endpoint,
            now: { TokenVectors.now })
        for changes: [String: Any?] in [[:], ["iss": nil], ["iss": NSNull()], ["iss": ""]] {
            let token = try self.issuer.token(changes)
            await #expect(throws: TokenError.untrustedIssuer) { try await validator.validate(token) }
        }
        #expect(endpoint.fetchCount == 0)
    }

    @Test("JWT-9: an expired token of an unknown issuer is untrusted, not expired")
    func expiredUnknownIssuer() async throws {
        let token = try self.issuer.token(["exp": 1])
        let validator = JWTValidator(keySources: ["https://other.example": self.issuer.keySource], now: { 2 })
        await #expect(throws: TokenError.untrustedIssuer) { try await validator.validate(token) }
    }

    @Test("JWT-10: an expired token with a bad signature is invalid, not expired")
    func expiredBadSignature() async throws {
        let forger = TestIssuer(signer: TokenSigner(keyID: "key-1"))
        let token = try forger.token(["exp": 1])
        await #expect(throws: TokenError.invalid) { try await self.issuer.validator().validate(token) }
    }

    @Test("JWT-11: empty text is a missing token")
    func empty() async throws {
        await #expect(throws: TokenError.missing) { try await self.issuer.validator().validate("") }
    }

    @Test(
        "JWT-12: only ES256 is taken",
        arguments: ["HS256", "none", "ES384", "RS256", "es256", "", 256, NSNull(), ["ES256"]] as [any Sendable])
    func algorithm(value: any Sendable) async throws {
        let token = try self.issuer.token(header: ["alg": value])
        await #expect(throws: TokenError.invalid) { try await self.issuer.validator().validate(token) }
    }

    @Test("JWT-17: a key of one issuer never verifies another's token, even under the same key id")
    func foreignKey() async throws {
        let (validator, issuers) = self.twoIssuers()
        let forged = try TestIssuer(issuer: issuers[0].issuer, signer: issuers[1].signer).token()
        await #expect(throws: TokenError.invalid) { try await validator.validate(forged) }
    }

    @Test("JWT-18: each of two issuers signs with its own key")
    func ownKeys() async throws {
        let (validator, issuers) = self.twoIssuers()
        for issuer in issuers { #expect(try await validator.validate(issuer.token()).issuer == issuer.issuer) }
    }

    private func twoIssuers() -> (JWTValidator, [TestIssuer]) {
        let issuers = ["https://a.example", "https://b.example"].map { TestIssuer(issuer: $0) }
        let sources = issuers.map { ($0.issuer, $0.keySource as any KeySource) }
        let validator = JWTValidator(
            keySources: Dictionary(uniqueKeysWithValues: sources), now: { TokenVectors.now })
        return (validator, issuers)
    }

    @Test("JWT-19: sub and client_id must not be missing or empty", arguments: ["sub", "client_id"])
    func identity(claim: String) async throws {
        for value: Any? in [nil, ""] {
            let token = try self.issuer.token([claim: value])
            await #expect(throws: TokenError.invalid) { try await self.issuer.validator().validate(token) }
        }
    }

    @Test("An expired token without a user is expired: expiry is looked at first")
    func expiryBeforeIdentity() async throws {
        let token = try self.issuer.token(["sub": "", "aud": "other", "exp": 1])
        await #expect(throws: TokenError.expired) {
            try await self.issuer.validator(audiences: ["less-sync"]).validate(token)
        }
    }

    @Test(
        "JWT-26: exp is a whole number in 0...2^64−1",
        arguments: ["1.5", "-1", #""1""#, "1e3", "4102444800.0", "18446744073709551616", "true", "[]"])
    func expiryType(source: String) async throws {
        let token = try self.issuer.token(payload: self.payload(#""exp":\#(source)"#))
        await #expect(throws: TokenError.invalid) { try await self.issuer.validator().validate(token) }
    }

    @Test("JWT-26: null and the largest number are valid")
    func expiryBounds() async throws {
        for (source, expected) in [("null", nil), ("18446744073709551615", UInt64.max)] as [(String, UInt64?)] {
            let token = try self.issuer.token(payload: self.payload(#""exp":\#(source)"#))
            #expect(try await self.issuer.validator().validate(token).expiresAt == expected)
        }
    }

    @Test(
        "JWT-27: a text claim of another type, null included, is an error",
        arguments: ["sub", "client_id", "scope", "jti", "personal_space_id", "did", "mailbox_id"])
    func textClaims(claim: String) async throws {
        for value: Any in [NSNull(), 1, true, [String](), [String: String]()] {
            let token = try self.issuer.token([claim: value])
            await #expect(throws: TokenError.invalid) { try await self.issuer.validator().validate(token) }
        }
    }

    @Test(
        "An issuer that is not text is invalid before it is untrusted", arguments: [1, true, ["x"]] as [any Sendable])
    func issuerType(value: any Sendable) async throws {
        let token = try self.issuer.token(["iss": value])
        await #expect(throws: TokenError.invalid) { try await self.issuer.validator().validate(token) }
    }

    @Test(
        "JWT-28: a scope is one word, compared exactly",
        arguments: [
            ("openid sync files", true), ("async", false), ("SYNC", false), ("sync,files", false), ("", false),
            ("files\tsync", true), ("files\u{2003}sync", true), ("\nsync\r\n", true), ("sync\u{301}", false),
        ])
    func scopes(scope: String, hasSync: Bool) async throws {
        let principal = try await self.issuer.validator().validate(self.issuer.token(["scope": scope]))
        #expect(principal.hasScope(.sync) == hasSync)
    }

    @Test("JWT-29: anything but three segments, and padding in any of them, is invalid")
    func segments() async throws {
        let token = try self.issuer.token()
        let parts = token.split(separator: ".").map(String.init)
        var wrong = [
            "x", ".", "..", "...", parts[0], parts[0...1].joined(separator: "."), token + ".", token + "." + parts[2],
            "." + token, parts[0] + ".." + parts[2], parts[0] + "." + parts[1] + ".", " " + token, token + "\n",
        ]
        for index in 0..<3 {
            for padding in ["=", "=="] {
                var padded = parts
                padded[index] += padding
                wrong.append(padded.joined(separator: "."))
            }
        }
        for token in wrong {
            await #expect(throws: TokenError.invalid, "\(token)") {
                try await self.issuer.validator().validate(token)
            }
        }
    }

    @Test(
        "JWT-30: text, list and null audiences",
        arguments: [
            (#""less-sync""#, true), (#"["other","less-sync"]"#, true), ("[]", false), (#""other""#, false),
            ("null", false), (#""less-sync ""#, false), (#"["less-sync",1]"#, false), ("1", false), ("{}", false),
        ])
    func audiences(source: String, isValid: Bool) async throws {
        let token = try self.issuer.token(payload: self.payload(#""aud":\#(source)"#))
        let validator = self.issuer.validator(audiences: ["first", "less-sync"])
        if isValid {
            _ = try await validator.validate(token)
        } else {
            await #expect(throws: TokenError.invalid) { try await validator.validate(token) }
        }
    }

    @Test("A listed claim that occurs twice is an error, an unlisted one is not")
    func duplicateClaims() async throws {
        let validator = self.issuer.validator()
        for duplicate in [#""sub":"user-1""#, #""iss":"https://accounts.less.so""#, #""jti":"a","jti":"a""#] {
            let token = try self.issuer.token(payload: self.payload(duplicate))
            await #expect(throws: TokenError.invalid) { try await validator.validate(token) }
        }
        _ = try await validator.validate(self.issuer.token(payload: self.payload(#""nbf":1,"nbf":"x""#)))
    }

    @Test("C19: unlisted claims and header members are ignored whatever they hold")
    func unknownMembers() async throws {
        let token = try self.issuer.token(
            ["nbf": "never", "iat": [1, 2], "extra": ["a": NSNull()]],
            header: ["crit": ["b64"], "jwk": 1, "x5c": NSNull(), "cty": ["a": 1], "typ": "anything"])
        _ = try await self.issuer.validator().validate(token)
    }

    @Test("A header whose typ or kid is not text is invalid", arguments: ["typ", "kid"])
    func headerTypes(member: String) async throws {
        for value: Any in [1, NSNull(), ["x"]] {
            let token = try self.issuer.token(header: [member: value])
            await #expect(throws: TokenError.invalid) { try await self.issuer.validator().validate(token) }
        }
    }

    @Test("A header member that counts must not occur twice")
    func duplicateHeader() async throws {
        for member in [#""alg":"ES256""#, #""kid":"key-1""#] {
            let token = try self.issuer.signer.sign(
                header: Array(#"{"alg":"ES256","kid":"key-1",\#(member)}"#.utf8),
                payload: Array(self.payload(#""x":1"#).utf8))
            await #expect(throws: TokenError.invalid) { try await self.issuer.validator().validate(token) }
        }
    }

    @Test("A signature with a high s counts")
    func highS() async throws {
        let token = try self.issuer.token()
        let parts = token.split(separator: ".").map(String.init)
        let signature = try #require(Base64URL.decode(parts[2]))
        let other = Array(signature[..<32]) + Self.negated(Array(signature[32...]))
        for signature in [signature, other] {
            let token = parts[0] + "." + parts[1] + "." + Base64URL.encode(signature)
            _ = try await self.issuer.validator().validate(token)
        }
    }

    /// The order of P-256 minus `s`.
    private static func negated(_ s: [UInt8]) -> [UInt8] {
        let order = [UInt8](hex: "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551") ?? []
        var borrow = 0
        var result = s
        for index in order.indices.reversed() {
            let difference = Int(order[index]) - Int(s[index]) - borrow
            borrow = difference < 0 ? 1 : 0
            result[index] = UInt8(difference + borrow * 256)
        }
        return result
    }

    @Test("A signature that is not 64 bytes, or zero, is invalid", arguments: [0, 63, 64, 65, 128])
    func signatureLength(count: Int) async throws {
        let parts = try self.issuer.token().split(separator: ".").map(String.init)
        let token = parts[0] + "." + parts[1] + "." + Base64URL.encode(Array(repeating: 0, count: count))
        await #expect(throws: TokenError.invalid) { try await self.issuer.validator().validate(token) }
    }

    @Test("Every vector cut at any byte or changed in any byte is refused, never a crash")
    func mutations() async throws {
        let validator = try self.vectorValidator()
        let token = Array(try Fixture.tokens().j1.utf8)
        let payload = try #require(token.firstIndex(of: UInt8(ascii: ".")))
        let signature = try #require(token.lastIndex(of: UInt8(ascii: ".")))
        for index in token.indices {
            for replacement in [token[index] ^ 1, UInt8(ascii: "."), UInt8(ascii: "A"), UInt8(ascii: "=")] {
                guard replacement != token[index] else { continue }
                var changed = token
                changed[index] = replacement
                let error = await #expect(throws: TokenError.self) {
                    try await validator.validate(String(decoding: changed, as: UTF8.self))
                }
                // The issuer is read before the signature: a change of it is another issuer.
                let isInPayload = (payload...signature).contains(index)
                #expect(error == .invalid || isInPayload && error == .untrustedIssuer, "\(index)")
            }
        }
        for end in 1..<token.count {
            await #expect(throws: TokenError.invalid) {
                try await validator.validate(String(decoding: token[..<end], as: UTF8.self))
            }
        }
    }

    @Test("The names of the kinds are the contract's")
    func errorTexts() {
        #expect(
            TokenError.allCases.map(\.closeReason) == [
                "empty auth token", "invalid auth token", "expired auth token", "untrusted auth issuer",
            ])
        #expect(
            TokenError.allCases.map(\.refreshError) == [
                "missing auth token", "invalid auth token", "expired auth token", "untrusted auth issuer",
            ])
        #expect(
            TokenError.allCases.map(\.httpMessage) == [
                "missing authorization token", "invalid token", "token has expired", "untrusted token issuer",
            ])
    }

    @Test("The wall clock is in seconds")
    func wallClock() {
        let now = UnixTime.now()
        #expect(now > TokenVectors.now - 86_400 * 400)
        #expect(now < 4_102_444_800)
    }

    private func payload(_ members: String) -> String {
        #"{"iss":"https://accounts.less.so","sub":"user-1","client_id":"client-1",\#(members)}"#
    }
}
