import SyncAuth
import SyncClient
import SyncProtocol
import SyncServer
import SyncTesting
import Testing

/// Tokens of an issuer whose keys come over HTTP.
@Suite("Tokens, end to end", .timeLimit(.minutes(1)))
struct TokenTests {
    @Test("JWT-14: after a rotation the new key counts and the old one no longer does")
    func rotation() async throws {
        try await Self.withServer { issuer, server in
            let user = issuer.user("alice")
            let oldToken = try issuer.token(user)
            try await Self.push(oldToken, server, user, at: 1)
            try await Self.push(oldToken, server, user, at: 2)
            #expect(issuer.fetches == 1)

            issuer.rotate(to: "key-2")
            try await Self.push(try issuer.token(user), server, user, at: 3)
            #expect(issuer.fetches == 2)
            #expect(await Self.refusal(of: oldToken, server) == .authFailed("invalid auth token"))
        }
    }

    @Test("A token for another audience is refused")
    func audience() async throws {
        try await Self.withServer(audiences: ["less-sync"]) { issuer, server in
            let user = issuer.user("alice")
            try await Self.push(try issuer.token(user, audience: "less-sync"), server, user, at: 1)
            #expect(
                await Self.refusal(of: try issuer.token(user, audience: "other"), server)
                    == .authFailed("invalid auth token"))
        }
    }

    @Test("W-17: a token of an issuer that nobody trusts is refused")
    func untrustedIssuer() async throws {
        try await Self.withServer { _, server in
            try await TestIssuerServer.run { stranger in
                let token = try stranger.token(stranger.user("alice"))
                #expect(await Self.refusal(of: token, server)?.code == 4000)
                #expect(stranger.fetches == 0)
            }
        }
    }

    private static func withServer(
        audiences: [String] = [], _ body: (TestIssuerServer, InProcessServer.Running) async throws -> Void
    ) async throws {
        try await TestIssuerServer.run { issuer in
            try await TestDatabaseURL.with(.sqlite) { database in
                var server = try InProcessServer(database) { configuration in
                    configuration.trustedIssuers = [TrustedIssuer(issuer.issuer)]
                    configuration.audiences = audiences
                }
                server.parts.tokens = nil
                try await server.run { try await body(issuer, $0) }
            }
        }
    }

    private static func push(
        _ token: String, _ server: InProcessServer.Running, _ user: Principal, at cursor: Int64
    ) async throws {
        let client = try await SyncClient.connect(to: server.url, token: token)
        let space = try #require(user.personalSpace).wireText
        let result = try await client.push(PushParams(space: space, changes: [.fixture(Int(cursor))]))
        #expect(result == .accepted(cursor: cursor))
        await client.close()
    }

    private static func refusal(of token: String, _ server: InProcessServer.Running) async -> CloseFrame? {
        guard let client = try? await server.wire() else { return nil }
        client.send(FrameEncoder.auth(token: token))
        return await client.closeFrame()
    }
}
