import SyncAuth
import SyncProtocol
import SyncTesting
import Testing

@testable import SyncCore

@Suite("token.refresh", .timeLimit(.minutes(5)))
struct TokenRefreshTests {
    private let alice = Principal.fixture("alice")

    private func refresh(_ client: TestClient, _ token: String) async throws -> TokenRefreshResult {
        try await client.call(.tokenRefresh, TokenParams(token: token))
    }

    @Test(
        "TOK-1, TOK-2, TOK-4: a refused token changes nothing, and the next push still succeeds",
        arguments: [
            ("", "missing auth token"), ("unknown", "invalid auth token"), ("refused-expired", "expired auth token"),
            ("refused-untrustedIssuer", "untrusted auth issuer"), ("files", "sync scope required"),
            ("bob", "token identity mismatch"), ("client", "token identity mismatch"),
        ] as [(token: String, error: String)], TestBackend.available)
    func refused(example: (token: String, error: String), on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            harness.tokens.issue(refusedAs: .expired)
            harness.tokens.issue(refusedAs: .untrustedIssuer)
            harness.tokens.issue(.fixture("alice", scopes: ["files"]), as: "files")
            harness.tokens.issue(.fixture("bob"), as: "bob")
            var otherClient = alice
            otherClient.clientID = "other"
            harness.tokens.issue(otherClient, as: "client")
            let client = harness.connect(alice)
            let result = try await refresh(client, example.token)
            #expect(result == TokenRefreshResult(error: example.error))
            #expect(try await client.push([.fixture(1)], to: alice.space) == .accepted(cursor: 1))
        }
    }

    @Test(
        "TOK-4: users and clients are told apart by their bytes, not as Unicode compares text",
        arguments: [("caf\u{E9}", "cafe\u{301}"), ("K", "\u{212A}")], TestBackend.available)
    func otherBytes(names: (known: String, other: String), on backend: TestBackend) async throws {
        #expect(names.known == names.other)
        try await EngineHarness.run(on: backend) { harness in
            for identity in [\Principal.userID, \Principal.clientID] {
                var (known, other) = (alice, alice)
                known[keyPath: identity] = names.known
                other[keyPath: identity] = names.other
                let client = harness.connect(known)
                let refused = try await refresh(client, harness.tokens.issue(other))
                #expect(refused == TokenRefreshResult(error: "token identity mismatch"))
                let accepted = try await refresh(client, harness.tokens.issue(known))
                #expect(accepted == TokenRefreshResult())
            }
        }
    }

    @Test(
        "TOK-3: a token of the same user and client is accepted, from any issuer; the subscription stays",
        arguments: TestBackend.available)
    func accepted(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = try await harness.subscriber(alice)
            var renewed = alice
            renewed.issuer = "https://accounts.betterbase.dev"
            #expect(try await refresh(client, harness.tokens.issue(renewed)) == TokenRefreshResult())
            _ = try await harness.connect(alice).push([.fixture(1)], to: alice.space)
            #expect(try await client.notification().cursor == 1)
        }
    }

    @Test(
        "wire §14: later requests run under the new identity, earlier pulls under the old one; the mailbox key stays",
        arguments: TestBackend.available)
    func replacesIdentity(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) {
            $0.connectionsPerMailboxMax = 1
        } _: { harness in
            var moved = alice
            moved.personalSpace = .random()
            moved.mailboxID = "moved"
            let client = harness.connect(alice)
            let pull = client.request(.pull, PullParams(spaces: [.init(id: alice.space.wireText, since: 0)]))
            let refresh = client.request(.tokenRefresh, TokenParams(token: harness.tokens.issue(moved)))
            var answers: [String: FramePayload] = [:]
            while answers.count < 2 {
                if case .response(let id, let result) = try await client.next() { answers[id] = result }
            }
            #expect(try answers[pull]?.decode(as: ChunkCount.self).chunks == 2)
            #expect(try answers[refresh]?.decode(as: TokenRefreshResult.self) == TokenRefreshResult())
            #expect(try await client.push([.fixture(1)], to: alice.space) == .refused(.forbidden))
            #expect(try await client.push([.fixture(1)], to: moved.space) == .accepted(cursor: 1))
            #expect(await harness.connect(alice).closeFrame() == .tooManyConnections)
            try await harness.connect(moved).settle()
        }
    }
}
