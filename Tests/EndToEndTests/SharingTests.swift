import NIOCore
import SyncAuth
import SyncClient
import SyncProtocol
import SyncServer
import SyncTesting
import Testing

/// The life of a shared space, as an application sees it.
@Suite("Sharing with the client", .timeLimit(.minutes(2)))
struct SharingTests {
    private static func person(_ name: String, mailbox: Character) -> Principal {
        var person = Principal.fixture(name)
        person.did = TestDelegation.did(name)
        person.mailboxID = String(repeating: mailbox, count: 64)
        return person
    }

    private let alice = Self.person("alice", mailbox: "a")
    private let bob = Self.person("bob", mailbox: "b")

    /// The next event that `take` takes; others are not expected to come first.
    private func next<Value: Sendable>(
        _ what: String, _ client: SyncClient, _ take: @escaping @Sendable (SyncEvent) -> Value?
    ) async throws -> Value {
        let event = try await within(.seconds(20), what) { await client.nextEvent() }
        return try #require(event.flatMap(take), "\(what): \(String(describing: event))")
    }

    @Test(
        "INC-1, INC-12, MAP-9, PRS-1, EVT-1, MRV-10: invited, together, removed, and nothing after that",
        arguments: TestBackend.available)
    func life(on backend: TestBackend) async throws {
        try await backend.withServer { server in
            try await server.withClient(self.alice) { alice in
                try await server.withClient(self.bob) { bob in
                    let space = SpaceID.random()
                    let own = try await self.create(space, alice)
                    let chain = TestDelegation.delegate(
                        from: "alice", to: "bob", .write, over: space,
                        proof: TestDelegation.chain(["alice", "alice"], .admin, over: space))
                    try await self.invite(bob, to: space, chain, by: alice, own)
                    try await self.meet(in: space, bob, chain, alice, own)
                    try await self.remove(bob, from: space, chain, by: alice, own)
                }
            }
        }
    }

    @Test("I15: an invitation for this server under its own name is delivered here", arguments: TestBackend.available)
    func ownServer(on backend: TestBackend) async throws {
        try await TestDatabaseURL.with(backend) { database in
            let server = try InProcessServer(database) {
                $0.federation.domain = PeerDomain("sync.example.com:443")
                $0.federation.identityDomain = PeerDomain("Example.com")
            }
            try await server.run { server in
                try await server.withClient(self.alice) { alice in
                    try await server.withClient(self.bob) { bob in
                        #expect(try await bob.invitations().isEmpty)
                        let names = ["HTTPS://Sync.Example.com:443/", "example.com"]
                        for name in names {
                            _ = try await alice.invite(self.bob.mailboxID, payload: name, server: name)
                            try await self.next("bob is told of an invitation", bob) { $0 == .invitation ? () : nil }
                        }
                        #expect(try await bob.invitations().map(\.payload) == names)
                        let off = SyncClientError.refused(
                            code: "bad_request", message: "federation is not enabled on this server")
                        await #expect(throws: off) {
                            try await alice.invite(self.bob.mailboxID, payload: "p", server: "peer.example.com")
                        }
                        #expect(try await bob.invitations().count == 2)
                    }
                }
            }
        }
    }

    /// - Returns: The creator's own delegation.
    private func create(_ space: SpaceID, _ alice: SyncClient) async throws -> String {
        let created = try await alice.createSpace(space, rootPublicKey: TestDelegation.rootKey("alice"))
        #expect(created == SpaceCreateResult(id: space, keyGeneration: 1))
        let own = TestDelegation.chain(["alice", "alice"], .admin, over: space)
        let subscribed = try await alice.subscribe([.init(id: space.wireText, ucan: own)])
        #expect(subscribed.errors.isEmpty)
        let appended = try await alice.appendMember(self.entry("alice", space, own, after: nil))
        #expect(appended == MembershipAppendResult(chainSequence: 1, metadataVersion: 1))
        return own
    }

    private func entry(
        _ text: String, _ space: SpaceID, _ ucan: String, after last: MembershipEntry?
    ) -> MembershipAppendParams {
        let payload = ByteBuffer(string: text)
        return MembershipAppendParams(
            space: space.wireText, ucan: ucan, expectedVersion: last?.chainSequence ?? 0,
            previousHash: last?.entryHash,
            entryHash: payload.withUnsafeReadableBytes { ByteBuffer(bytes: ContentHash.sha256($0)) }, payload: payload)
    }

    /// What a real application encrypts lies here as it is.
    private func invite(
        _ bob: SyncClient, to space: SpaceID, _ chain: String, by alice: SyncClient, _ own: String
    ) async throws {
        // Whoever is to hear of an invitation has to be registered by then.
        #expect(try await bob.invitations().isEmpty)
        let sent = try await alice.invite(self.bob.mailboxID, payload: space.wireText + " " + chain)
        try await self.next("bob is told of an invitation", bob) { $0 == .invitation ? () : nil }
        let invitation = try #require(try await bob.invitations().first)
        #expect(invitation == sent)
        #expect(try await bob.invitation(invitation.id) == sent)
        #expect(invitation.payload == space.wireText + " " + chain)
        try await bob.deleteInvitation(invitation.id)
        await #expect(throws: SyncClientError.refused(code: "not_found", message: "not found")) {
            try await bob.deleteInvitation(invitation.id)
        }
    }

    private func meet(
        in space: SpaceID, _ bob: SyncClient, _ chain: String, _ alice: SyncClient, _ own: String
    ) async throws {
        try await alice.setPresence(ByteBuffer(string: "here"), in: space)
        // An answered request: the presence has been dealt with.
        let log = try await alice.members(of: space, ucan: own)
        let subscribed = try await bob.subscribe([.init(id: space.wireText, ucan: chain, presence: true)])
        #expect(subscribed.spaces.first?.peers.map(\.data) == [ByteBuffer(string: "here")])
        let peer = try #require(subscribed.spaces.first?.peers.first?.peer)

        _ = try await bob.appendMember(self.entry("bob", space, chain, after: log.entries.last))
        let joined = try await self.next("alice hears of the new member", alice) {
            if case .membership(let notification) = $0 { notification } else { nil }
        }
        #expect(joined.entries.map(\.payload) == [ByteBuffer(string: "bob")])
        #expect(try await alice.members(of: space, since: 1, ucan: own).entries == joined.entries)

        let written = try await bob.push(
            PushParams(space: space.wireText, ucan: chain, changes: [.fixture(1)]))
        #expect(written == .accepted(cursor: 3))
        #expect(
            try await self.next("alice hears the push", alice) {
                if case .sync(let sync) = $0 { sync.cursor } else { nil }
            }
                == 3)
        try await alice.sendEvent(ByteBuffer(string: "hello"), to: space)
        let event = try await self.next("bob hears an event", bob) {
            if case .event(let event) = $0 { event } else { nil }
        }
        #expect(event == PresenceNotification(space: space, peer: peer, data: ByteBuffer(string: "hello")))
        try await bob.setPresence(ByteBuffer(string: "bob"), in: space)
        let presence = try await self.next("alice sees bob", alice) {
            if case .presence(let presence) = $0 { presence } else { nil }
        }
        #expect(presence.data == ByteBuffer(string: "bob"))
    }

    private func remove(
        _ bob: SyncClient, from space: SpaceID, _ chain: String, by alice: SyncClient, _ own: String
    ) async throws {
        try await alice.revoke(TestDelegation.cid(of: chain), in: space, ucan: own)
        let written = try await alice.push(PushParams(space: space.wireText, ucan: own, changes: [.fixture(2)]))
        #expect(written == .accepted(cursor: 4))
        try await alice.sendEvent(ByteBuffer(string: "alone"), to: space)
        let left = try await self.next("alice sees bob leave", alice) {
            if case .presenceLeave(let leave) = $0 { leave.space } else { nil }
        }
        #expect(left == space)
        let revoked = try await self.next("bob is told", bob) {
            if case .revoked(let revoked) = $0 { revoked } else { nil }
        }
        #expect(revoked == RevokedNotification(space: space))

        let forbidden = SyncClientError.refused(code: "forbidden", message: "forbidden")
        await #expect(throws: forbidden) { try await bob.members(of: space, ucan: chain) }
        #expect(
            try await bob.push(PushParams(space: space.wireText, ucan: chain, changes: [.fixture(3)]))
                == .refused(.forbidden))
        try await bob.setPresence(ByteBuffer(string: "ghost"), in: space)
        let again = try await bob.subscribe([.init(id: space.wireText, ucan: chain)])
        #expect(again == SubscribeResult(spaces: [], errors: [.init(space: space.wireText, error: .forbidden)]))
        // Every answer came behind what had been sent before it: there was nothing.
        await bob.close()
        #expect(await bob.nextEvent() == nil)
        _ = try await alice.members(of: space, ucan: own)
        await alice.close()
        #expect(await alice.nextEvent() == nil)
    }
}
