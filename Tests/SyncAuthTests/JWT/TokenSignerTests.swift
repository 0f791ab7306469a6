import Foundation
import SyncAuth
import SyncProtocol
import Testing

@Suite("Minting tokens", .timeLimit(.minutes(1)))
struct TokenSignerTests {
    @Test("A minted token validates against the signer's own key set and yields the same identity")
    func roundTrip() async throws {
        let signer = TokenSigner()
        var claims = TokenClaims(issuer: "http://localhost:5379/dev", subject: "ü/\"1", clientID: "app")
        claims.scope = "sync files"
        claims.expiresAt = 2
        claims.audience = ["less-sync"]
        claims.did = "did:key:zDn"
        claims.mailboxID = "abc"
        claims.personalSpaceID = "cf78fa75-e714-5073-8972-126a66255b39"
        let validator = JWTValidator(
            issuers: [TrustedIssuer(claims.issuer)], audiences: ["less-sync"],
            fetcher: TestEndpoint(signer.keySetDocument),
            now: { 2 })
        let principal = try await validator.validate(signer.sign(claims))
        #expect(principal.issuer == claims.issuer)
        #expect(principal.userID == "ü/\"1")
        #expect(principal.clientID == "app")
        #expect(principal.scopes == ["sync", "files"])
        #expect(principal.expiresAt == 2)
        #expect(principal.did == "did:key:zDn")
        #expect(principal.mailboxID == "abc")
        #expect(principal.personalSpace?.rawValue == UUID(uuidString: claims.personalSpaceID))
    }

    @Test("Absent claims are left out, because null would be a type error")
    func absentClaims() throws {
        let token = try TokenSigner(keyID: "k").sign(TokenClaims(issuer: "i", subject: "s", clientID: "c"))
        let parts = token.split(separator: ".").map(String.init)
        #expect(
            Base64URL.decode(parts[0]).map { String(decoding: $0, as: UTF8.self) }
                == #"{"alg":"ES256","kid":"k","typ":"JWT"}"#)
        #expect(
            Base64URL.decode(parts[1]).map { String(decoding: $0, as: UTF8.self) }
                == #"{"client_id":"c","iss":"i","sub":"s"}"#)
    }

    @Test("The key id is the thumbprint of the key (RFC 7638), so one key always has the same")
    func thumbprint() throws {
        let key = try Fixture.key("accounts").privateKey()
        #expect(TokenSigner(privateKey: key).keyID == TokenSigner(privateKey: key).keyID)
        #expect(TokenSigner(privateKey: key).keyID.utf8.count == 43)
        #expect(TokenSigner().keyID != TokenSigner().keyID)
    }

    @Test("An issuer loses every trailing slash and nothing else")
    func issuers() {
        #expect(TrustedIssuer("https://a///") == TrustedIssuer("https://a"))
        #expect(TrustedIssuer("HTTPS://A:443/").issuer == "HTTPS://A:443")
        #expect(TrustedIssuer("https://a/").keySetURL == "https://a/.well-known/jwks.json")
        #expect(TrustedIssuer("https://a/", keySetURL: "http://b/keys").keySetURL == "http://b/keys")
        #expect(TrustedIssuer("///").issuer.isEmpty)
    }
}
