import FoundationEssentials
import NIOCore
import SyncAuth
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncCore

@Suite("invitation", .timeLimit(.minutes(5)))
struct InvitationTests {
    private let alice = Principal.fixture("alice")

    /// A user whose token names a mailbox.
    private func owner(of mailbox: String) -> Principal {
        var principal = Principal.fixture("owner of \(mailbox.prefix(1))")
        principal.mailboxID = mailbox
        return principal
    }

    @Test(
        "INC-1, INC-9, INL-1, INL-2, ING-1: anyone may write to a mailbox, its owner reads it",
        arguments: TestBackend.available)
    func create(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let sender = harness.connect(alice)
            let created = try await sender.invite(mailbox("a"), "geheim ✉️")
            #expect(InvitationID(wireText: created.id) != nil)
            #expect(created.payload == "geheim ✉️")
            let style = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
            func date(_ text: String) throws -> Date {
                try text.contains(".") ? style.parse(text) : Date.ISO8601FormatStyle().parse(text)
            }
            let createdAt = try date(created.createdAt)
            let lifetime = try date(created.expiresAt).timeIntervalSince(createdAt)
            #expect(abs(lifetime - 7 * 86_400) < 0.01)
            #expect(abs(createdAt.timeIntervalSinceNow) < 300)

            let owner = harness.connect(self.owner(of: mailbox("a")))
            #expect(try await owner.invitations() == [created])
            let get = InvitationIDParams(id: created.id.uppercased())
            #expect(try await owner.call(.invitationGet, get, as: InvitationResult.self) == created)
            #expect(try await sender.invitations().isEmpty)
            #expect(try await harness.connect(self.owner(of: mailbox("b"))).invitations().isEmpty)
        }
    }

    @Test(
        "INC-2, INC-3, INC-4, INC-13: what is wrong with an invitation, the first thing first",
        arguments: TestBackend.available)
    func invalid(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            func expect(
                _ message: String, mailbox: String, payload: String = "p", server: String = "",
                code: RPCErrorCode = .badRequest
            ) async {
                await #expect(throws: ErrorBody(code: code, message: message)) {
                    try await client.call(
                        .invitationCreate, InvitationCreateParams(mailboxID: mailbox, payload: payload, server: server),
                        as: InvitationResult.self)
                }
            }
            let hex = "mailbox_id must be 64-char hex string"
            let valid = mailbox("a")
            await expect("missing mailbox_id", mailbox: "", payload: "")
            for wrong in [
                "not-hex", mailbox("A"), mailbox("g"), String(valid.dropLast()), valid + "a",
                String(repeating: "é", count: 32), mailbox("a") + "\0", String(repeating: "１", count: 64),
            ] {
                await expect(hex, mailbox: wrong, payload: "")
            }
            await expect("missing payload", mailbox: valid, payload: "", server: "peer.example.com")
            let large = String(repeating: "x", count: 131_073)
            for tooLarge in [large, String(repeating: "é", count: 65_537)] {
                await expect(
                    "payload too large", mailbox: valid, payload: tooLarge, server: "s", code: .payloadTooLarge)
            }
            await expect(
                "federation is not enabled on this server", mailbox: valid, server: "peer.example.com")
            #expect(try await harness.connect(self.owner(of: valid)).invitations().isEmpty)
            let largest = try await client.invite(valid, String(large.dropLast()))
            #expect(largest.payload.utf8.count == 131_072)
        }
    }

    @Test(
        "I15, INC-13: a server that is this one, however it is written, is local delivery; any other is refused",
        arguments: TestBackend.available)
    func ownServer(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) {
            $0.ownDomains = Set(
                ["sync.example.com", "example.com", "other.example:8443"].compactMap { PeerDomain($0) })
        } _: { harness in
            let client = harness.connect(alice)
            let owner = harness.connect(self.owner(of: mailbox("a")))
            func invite(_ server: String) async throws -> InvitationResult {
                try await client.call(
                    .invitationCreate,
                    InvitationCreateParams(mailboxID: mailbox("a"), payload: "for \(server)", server: server))
            }
            let own = [
                "sync.example.com", "SYNC.Example.COM", "https://sync.example.com:443/api/v1", "example.com.",
                "wss://EXAMPLE.com:443", "other.example:8443",
            ]
            var created: [InvitationResult] = []
            for server in own { created.append(try await invite(server)) }
            #expect(created.map(\.payload) == own.map { "for \($0)" })
            #expect(created.allSatisfy { InvitationID(wireText: $0.id) != nil && !$0.expiresAt.isEmpty })
            for server in [
                "sync.example.com:8443", "other.example", "sync.example.com.evil", "evil/sync.example.com",
                " example.com",
                "https://", "/", "peer.example.com",
            ] {
                let refused = ErrorBody(code: .badRequest, message: "federation is not enabled on this server")
                await #expect(throws: refused, "\(server)") { try await invite(server) }
            }
            #expect(try await owner.invitations() == created)
        }
    }

    @Test("INC-8: a storage failure is internal for every method", arguments: TestBackend.available)
    func storageFailure(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            try await client.settle()
            await harness.storage.close()
            let failure = ErrorBody(code: .internal, message: "internal")
            await #expect(throws: failure) { try await client.invite(mailbox("a")) }
            await #expect(throws: failure) { try await client.invitations() }
            let id = InvitationIDParams(id: InvitationID.random().wireText)
            for method in [Method.invitationGet, .invitationDelete] {
                await #expect(throws: failure) { _ = try await client.answer(to: client.request(method, id)) }
            }
            #expect(harness.logs.lines.count { $0.contains("RPC internal error") } == 4)
        }
    }

    @Test("INC-10: params that are a text string have the message of their method", arguments: TestBackend.available)
    func undecodable(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            for (method, message) in [
                (Method.invitationCreate, "invalid invitation create params"),
                (.invitationList, "invalid invitation list params"), (.invitationGet, "invalid invitation get params"),
                (.invitationDelete, "invalid invitation delete params"),
            ] {
                await #expect(throws: ErrorBody(code: .invalidParams, message: message)) {
                    try await client.call(method, hex: "63666f6f")
                }
            }
        }
    }

    @Test(
        "INC-12: the connections of the mailbox are told later, without a word about what came",
        arguments: TestBackend.available)
    func notification(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            await harness.startJobs()
            let owner = self.owner(of: mailbox("a"))
            let readers = [harness.connect(owner), harness.connect(owner)]
            let stranger = harness.connect(self.owner(of: mailbox("b")))
            for client in readers + [stranger] { try await client.settle() }
            let sender = harness.connect(alice)
            _ = try await sender.invite(mailbox("a"))
            await harness.clock.waitForSleeper(of: .milliseconds(2_000))
            harness.clock.advance(by: .milliseconds(1_999))
            for reader in readers { #expect(try await reader.takeNotifications().isEmpty) }
            harness.clock.advance(by: .milliseconds(1))
            for reader in readers { #expect(try await reader.hear(.invitation, as: EmptyMap.self) == EmptyMap()) }
            for client in readers + [stranger, sender] { #expect(try await client.takeNotifications().isEmpty) }
        }
    }

    @Test("what is refused notifies nobody", arguments: TestBackend.available)
    func noNotification(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            await harness.startJobs()
            let reader = harness.connect(self.owner(of: mailbox("a")))
            let sender = harness.connect(alice)
            try await reader.settle()
            await #expect(throws: ErrorBody.self) { try await sender.invite(mailbox("a"), "") }
            harness.clock.advance(by: .seconds(5))
            #expect(try await reader.takeNotifications().isEmpty)
        }
    }

    @Test(
        "INL-3, INL-4: pages of 50 unless told otherwise, of 200 at most, behind the last item seen",
        arguments: TestBackend.available)
    func pages(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let sender = harness.connect(alice)
            var sent: [String] = []
            for number in 0..<60 { sent.append(try await sender.invite(mailbox("a"), "\(number)").id) }
            let owner = harness.connect(self.owner(of: mailbox("a")))
            #expect(try await owner.invitations().map(\.id) == Array(sent[..<50]))
            #expect(try await owner.invitations(limit: 500).map(\.id) == sent)
            #expect(try await owner.invitations(limit: -1).count == 50)
            #expect(try await owner.invitations(limit: 7).map(\.payload) == (0..<7).map { "\($0)" })
            #expect(try await owner.invitations(limit: 7, after: sent[52].uppercased()).map(\.id) == Array(sent[53...]))
            #expect(try await owner.invitations(after: InvitationID.random().wireText).isEmpty)
            for cursor in ["xyz", "not-a-uuid"] {
                await #expect(throws: ErrorBody(code: .badRequest, message: "invalid invitation cursor")) {
                    try await owner.invitations(after: cursor)
                }
            }
            for number in 60..<202 { _ = try await sender.invite(mailbox("a"), "\(number)") }
            #expect(try await owner.invitations(limit: .max).count == 200)
        }
    }

    @Test(
        "INL-5: as many items as fit into one message; the rest follows behind the last one",
        arguments: TestBackend.available)
    func largeItems(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let sender = harness.connect(alice)
            let payload = String(repeating: "x", count: 131_072)
            for _ in 0..<33 { _ = try await sender.invite(mailbox("a"), payload) }
            let owner = harness.connect(self.owner(of: mailbox("a")))
            let id = owner.request(.invitationList, InvitationListParams())
            let frame = try await owner.answer(to: id).result
            let first = try frame.decode(as: InvitationListResult.self).invitations
            #expect(first.count == 31)
            let item = first.first?.encodedSize ?? 0
            let bytes = FrameEncoder.responseSize(id: id, result: InvitationListResult(invitations: first))
            #expect(bytes <= 4_194_304)
            #expect(bytes + item > 4_194_304)
            let rest = try await owner.invitations(after: first.last?.id ?? "")
            #expect(rest.count == 2)
            #expect(Set(first.map(\.id)).isDisjoint(with: rest.map(\.id)))
        }
    }

    @Test(
        "INL-6: without a mailbox id in its token a client reads the mailbox of its client id",
        arguments: TestBackend.available)
    func fallbackMailbox(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            var fallback = alice
            fallback.clientID = mailbox("c")
            fallback.mailboxID = ""
            _ = try await harness.connect(.fixture("bob")).invite(mailbox("c"))
            let client = harness.connect(fallback)
            #expect(try await client.invitations().count == 1)
            // The mailbox is that of the identity of now.
            var renamed = fallback
            renamed.mailboxID = mailbox("d")
            let token = TokenParams(token: harness.tokens.issue(renamed))
            #expect(try await client.call(.tokenRefresh, token, as: TokenRefreshResult.self).error == nil)
            #expect(try await client.invitations().isEmpty)
        }
    }

    @Test(
        "ING-2, ING-3, IND-1, IND-2: get and delete know the own mailbox alone, and delete once",
        arguments: TestBackend.available)
    func getAndDelete(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let created = try await harness.connect(alice).invite(mailbox("a"))
            let owner = harness.connect(self.owner(of: mailbox("a")))
            let other = harness.connect(self.owner(of: mailbox("b")))
            func call(_ method: Method, _ id: String, _ client: TestClient) async throws {
                _ = try await client.answer(to: client.request(method, InvitationIDParams(id: id)))
            }
            let missing = ErrorBody(code: .notFound, message: "not found")
            for method in [Method.invitationGet, .invitationDelete] {
                await #expect(throws: missing) { try await call(method, created.id, other) }
                await #expect(throws: missing) { try await call(method, InvitationID.random().wireText, owner) }
                for id in ["xyz", "", "x" + created.id] {
                    await #expect(throws: ErrorBody(code: .badRequest, message: "invalid invitation id")) {
                        try await call(method, id, owner)
                    }
                }
            }
            let id = InvitationIDParams(id: created.id)
            #expect(try await owner.call(.invitationDelete, id, as: EmptyMap.self) == EmptyMap())
            for method in [Method.invitationGet, .invitationDelete] {
                await #expect(throws: missing) { try await call(method, created.id, owner) }
            }
        }
    }

    @Test("ING-2: an expired invitation is not there, but can be deleted", arguments: TestBackend.available)
    func expired(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let created = try await harness.connect(alice).invite(mailbox("a"))
            let id = try #require(InvitationID(wireText: created.id))
            try await harness.database.expireInvitation(id)
            let owner = harness.connect(self.owner(of: mailbox("a")))
            #expect(try await owner.invitations().isEmpty)
            await #expect(throws: ErrorBody(code: .notFound, message: "not found")) {
                try await owner.call(.invitationGet, InvitationIDParams(id: created.id), as: InvitationResult.self)
            }
            let params = InvitationIDParams(id: created.id)
            #expect(try await owner.call(.invitationDelete, params, as: EmptyMap.self) == EmptyMap())
        }
    }
}
