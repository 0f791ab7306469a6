import NIOCore
import SyncAuth
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncCore

@Suite("Rate limits", .timeLimit(.minutes(5)))
struct RateLimitTests {
    private let alice = Principal.fixture("alice")
    private let bob = Principal.fixture("bob")

    private static let appendRefusal = ErrorBody(
        code: .rateLimited, message: "rate limit exceeded: max 10 membership appends per hour")
    private static let invitationRefusal = ErrorBody(
        code: .rateLimited, message: "rate limit exceeded: max 10 invitations per hour")

    /// Appends so many entries to a log of `version` entries.
    private func append(_ count: Int, from version: Int = 0, _ client: TestClient, _ space: SpaceID) async throws {
        for number in version..<version + count {
            let last = number == 0 ? nil : MembershipAppendParams.fixture("\(number - 1)", to: space).entryHash
            _ = try await client.append(.fixture("\(number)", to: space, version: Int32(number), after: last))
        }
    }

    @Test(
        "MAP-6, MAP-8, MAP-11: after ten appends an hour the next is refused before it is looked at; failures do not count",
        arguments: TestBackend.available)
    func appends(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) {
            $0.rateLimits = .fixture()
        } _: { harness in
            let client = harness.connect(alice)
            for _ in 0..<12 {
                await #expect(throws: ErrorBody(code: .conflict, message: "conflict")) {
                    try await client.append(.fixture("0", to: alice.space, version: 7))
                }
            }
            try await self.append(10, client, alice.space)
            var wrong = MembershipAppendParams.fixture("10", to: alice.space)
            wrong.entryHash = ByteBuffer()
            await #expect(throws: Self.appendRefusal) { try await client.append(wrong) }
            // An id that is no UUID comes before the limit.
            wrong.space = "not-a-uuid"
            await #expect(throws: ErrorBody(code: .badRequest, message: "invalid space id")) {
                try await client.append(wrong)
            }
            // The limit is the user's: of another connection too, but not of another user, and not of another action.
            await #expect(throws: Self.appendRefusal) {
                try await harness.connect(alice).append(.fixture("10", to: alice.space, version: 10))
            }
            try await self.append(1, harness.connect(bob), bob.space)
            _ = try await client.invite(mailbox("a"))
        }
    }

    @Test("MAP-7: without an identity hash key nobody is limited", arguments: TestBackend.available)
    func unlimited(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            try await self.append(12, client, alice.space)
            for _ in 0..<12 { _ = try await client.invite(mailbox("a")) }
        }
    }

    @Test(
        "operations §2.4: a limit of 0 is none, another one is named in the refusal", arguments: TestBackend.available)
    func configured(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) {
            $0.rateLimits = .fixture(invitations: 2, appends: 0)
        } _: { harness in
            let client = harness.connect(alice)
            try await self.append(12, client, alice.space)
            for _ in 0..<2 { _ = try await client.invite(mailbox("a")) }
            await #expect(
                throws: ErrorBody(code: .rateLimited, message: "rate limit exceeded: max 2 invitations per hour")
            ) { try await client.invite(mailbox("a")) }
        }
    }

    @Test(
        "INC-11: after ten invitations an hour the next is refused, even one to an invalid mailbox",
        arguments: TestBackend.available)
    func invitations(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) {
            $0.rateLimits = .fixture()
        } _: { harness in
            let client = harness.connect(alice)
            for _ in 0..<12 {
                await #expect(throws: ErrorBody(code: .badRequest, message: "missing payload")) {
                    try await client.invite(mailbox("a"), "")
                }
            }
            for _ in 0..<10 { _ = try await client.invite(mailbox("a")) }
            await #expect(throws: Self.invitationRefusal) { try await client.invite(mailbox("a")) }
            await #expect(throws: Self.invitationRefusal) { try await client.invite("not-hex") }
            _ = try await harness.connect(bob).invite(mailbox("a"))
        }
    }

    @Test(
        "auth §10.2: actions are counted under the keyed hash of issuer and user, which tells neither",
        arguments: TestBackend.available)
    func actors(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) {
            $0.rateLimits = .fixture()
        } _: { harness in
            var user = alice
            user.issuer = "https://accounts.less.so"
            user.userID = "user1"
            _ = try await harness.connect(user).invite(mailbox("a"))
            let rows = try await harness.database.execute("SELECT action, actor_hash FROM rate_limit_actions", [])
            #expect(
                rows == [
                    [
                        .text("invitation"),
                        .text("863b3f266f80780e373e4eb20106f3bfa69bcba60193ab622d0098966820f593"),
                    ]
                ])
        }
    }

    @Test("rpc §2.7: the window slides: what is older than an hour does not count", arguments: TestBackend.available)
    func window(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) {
            $0.rateLimits = .fixture(invitations: 1)
        } _: { harness in
            let client = harness.connect(alice)
            // The database has its own clock, which the harness cannot move; the limiter's is far behind it, so it counts.
            let created = try await client.invite(mailbox("a"))
            #expect(InvitationID(wireText: created.id) != nil)
            await #expect(throws: ErrorBody.self) { try await client.invite(mailbox("a")) }
            harness.wallClock.advance(by: 10 * 365 * 86_400)
            _ = try await client.invite(mailbox("a"))
        }
    }

    @Test(
        "rpc §2.7: a count that fails refuses the call with a text of its own; a record that fails does not",
        arguments: TestBackend.available)
    func storageFailure(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) {
            $0.rateLimits = .fixture()
        } _: { harness in
            let client = harness.connect(alice)
            _ = try await client.invite(mailbox("a"))
            try await harness.database.execute("DROP TABLE rate_limit_actions", [])
            let failure = ErrorBody(code: .internal, message: "internal error")
            await #expect(throws: failure) { try await client.invite("not-hex") }
            await #expect(throws: failure) { try await client.append(.fixture("0", to: alice.space)) }
            await harness.engine.services.rateLimiter.record(.invitation, by: alice)
            #expect(harness.logs.lines.contains { $0.hasPrefix("error rate-limit record failed action=invitation") })
        }
    }
}
