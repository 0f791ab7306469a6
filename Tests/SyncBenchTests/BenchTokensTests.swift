import SyncAuth
import SyncProtocol
import SyncTesting
import Testing

@testable import SyncBench

@Suite("Tokens of a load run")
struct BenchTokensTests {
    private static func token(_ space: String, _ user: String = "user") throws -> String {
        var claims = TokenClaims(issuer: "https://issuer", subject: user, clientID: "client")
        claims.personalSpaceID = space
        claims.expiresAt = 2_000_000_000
        return try TokenSigner().sign(claims)
    }

    private static let spaces = [
        "cf78fa75-e714-5073-8972-126a66255b39", "25243090-ff38-5731-8606-819c4ab5a412",
    ]

    @Test("the connections of a space take turns in using its tokens")
    func turns() throws {
        let one = try Self.token(Self.spaces[0])
        let other = try Self.token(Self.spaces[0].uppercased(), "other")
        let third = try Self.token(Self.spaces[1])
        let tokens = BenchTokens(spaces: [0, 1, 0, 1, 0], options: BenchOptions(.push))
        let grants = try tokens.grants(from: "\(one)\n\n  \(third)  \r\n\(other)\n")
        #expect(grants.map(\.token) == [one, third, other, third, one])
        #expect(grants.map(\.space) == [0, 1, 0, 1, 0].map { Self.spaces[$0] })
    }

    @Test("too few spaces, and lines that are no tokens, are told")
    func refused() throws {
        let token = try Self.token(Self.spaces[0])
        let tokens = BenchTokens(spaces: [0, 1], options: BenchOptions(.push))
        #expect(throws: BenchError.tokens("the file has tokens for 1 personal spaces; 2 are needed")) {
            try tokens.grants(from: token)
        }
        #expect(throws: BenchError.tokens("token 2 of the file names no personal space")) {
            try tokens.grants(from: "\(token)\nhello")
        }
        #expect(throws: BenchError.tokens("token 1 of the file names no personal space")) {
            try tokens.grants(from: Self.token(""))
        }
    }
}
