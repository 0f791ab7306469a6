import NIOCore
import SyncAuth
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncCore

/// What delegations change for members, presence and events.
@Suite("Shared spaces", .timeLimit(.minutes(5)))
struct SharedSpaceTests {
    private static let forbidden = ErrorBody(code: .forbidden, message: "forbidden")

    /// A connection of a user with the key of that name, subscribed by a chain of its own from the root.
    private func member(
        _ name: String, of space: SharedSpace, _ harness: EngineHarness, ucan: String? = nil
    ) async throws -> TestClient {
        let client = harness.connect(SharedSpace.principal(name))
        _ = try await client.subscribe(space.id, ucan: ucan ?? space.chain(name))
        return client
    }

    @Test(
        "a space is created, its first entry appended, another member's too, and both hear of each other",
        arguments: TestBackend.available)
    func twoMembers(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let space = SharedSpace(id: .random())
            let creator = harness.connect(SharedSpace.principal("root"))
            let params = SpaceCreateParams(id: space.id.wireText, rootPublicKey: TestDelegation.rootKey())
            _ = try await creator.call(.spaceCreate, params, as: SpaceCreateResult.self)
            let own = space.chain("root", permission: .admin)
            _ = try await creator.subscribe(space.id, ucan: own)
            let first = MembershipAppendParams.fixture("root joins", to: space.id, ucan: own)
            _ = try await creator.append(first)

            let alice = try await self.member("alice", of: space, harness)
            let ucan = space.chain("alice")
            let log = try await alice.members(of: space.id, ucan: ucan)
            #expect(log.entries.map(\.payload) == [first.payload])
            let second = MembershipAppendParams.fixture(
                "alice joins", to: space.id, version: log.metadataVersion, after: log.entries.last?.entryHash,
                ucan: ucan)
            _ = try await alice.append(second)
            #expect(
                try await creator.hear(.membership, as: MembershipNotification.self).entries.map(\.payload)
                    == [second.payload])
            #expect(try await alice.push([.fixture(1)], to: space.id, ucan: ucan) == .accepted(cursor: 3))
            #expect(try await creator.notification().cursor == 3)
        }
    }

    @Test(
        "MAP-10: who may only read cannot append or revoke, and that does not count against a limit",
        arguments: TestBackend.available)
    func readOnly(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) {
            $0.rateLimits = .fixture()
        } _: { harness in
            let space = try await SharedSpace.create(harness)
            let reader = harness.connect(SharedSpace.principal("alice"))
            let ucan = space.chain("alice", permission: .read)
            let writing = space.chain("alice")
            for _ in 0..<11 {
                await #expect(throws: Self.forbidden) {
                    try await reader.append(.fixture("entry", to: space.id, ucan: ucan))
                }
            }
            await #expect(throws: Self.forbidden) { try await reader.revoke("cid", in: space.id, ucan: ucan) }
            #expect(try await reader.members(of: space.id, ucan: ucan).entries.isEmpty)
            let entry = MembershipAppendParams.fixture("entry", to: space.id, ucan: writing)
            #expect(try await reader.append(entry).chainSequence == 1)
        }
    }

    @Test(
        "MLS-6, MRV-7, MRV-8: a revoked token opens nothing any more, and no chain through it does",
        arguments: TestBackend.available)
    func revoked(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let space = try await SharedSpace.create(harness)
            let revoker = harness.connect(SharedSpace.principal("root"))
            let rootChain = space.chain("root", permission: .admin)
            let alice = harness.connect(SharedSpace.principal("alice"))
            let bob = harness.connect(SharedSpace.principal("bob"))
            let aliceChain = space.chain("alice")
            let bobChain = TestDelegation.delegate(from: "alice", to: "bob", .write, over: space.id, proof: aliceChain)
            for (client, ucan) in [(alice, aliceChain), (bob, bobChain)] {
                #expect(try await client.members(of: space.id, ucan: ucan).entries.isEmpty)
            }
            // Revoked in another space, it still is what it was.
            let elsewhere = try await SharedSpace.create(harness)
            try await revoker.revoke(
                TestDelegation.cid(of: aliceChain), in: elsewhere.id, ucan: elsewhere.chain("root", permission: .admin))
            #expect(try await alice.members(of: space.id, ucan: aliceChain).entries.isEmpty)

            try await revoker.revoke(TestDelegation.cid(of: aliceChain), in: space.id, ucan: rootChain)
            for (client, ucan) in [(alice, aliceChain), (bob, bobChain)] {
                await #expect(throws: Self.forbidden) { try await client.members(of: space.id, ucan: ucan) }
                await #expect(throws: Self.forbidden) {
                    try await client.append(.fixture("entry", to: space.id, ucan: ucan))
                }
                await #expect(throws: Self.forbidden) { try await client.revoke("cid", in: space.id, ucan: ucan) }
                #expect(try await client.push([.fixture(1)], to: space.id, ucan: ucan) == .refused(.forbidden))
                let pulled = try await client.answer(
                    to: client.request(
                        .pull, PullParams(spaces: [.init(id: space.id.wireText, since: 0, ucan: ucan)])))
                #expect(pulled.chunks.isEmpty)
                await #expect(throws: UnexpectedFrame.self) { try await client.subscribe(space.id, ucan: ucan) }
            }
            #expect(try await revoker.members(of: space.id, ucan: rootChain).entries.isEmpty)
        }
    }

    @Test(
        "MRV-10: who rests on a revoked token hears `revoked` and then nothing; its presence is gone, the others stay",
        arguments: TestBackend.available)
    func revokedWhileSubscribed(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let space = try await SharedSpace.create(harness)
            let aliceChain = space.chain("alice")
            let bobChain = TestDelegation.delegate(from: "alice", to: "bob", .read, over: space.id, proof: aliceChain)
            let rootChain = space.chain("root", permission: .admin)
            let revoker = try await self.member("root", of: space, harness, ucan: rootChain)
            let alice = try await self.member("alice", of: space, harness, ucan: aliceChain)
            let bob = try await self.member("bob", of: space, harness, ucan: bobChain)
            let carol = try await self.member("carol", of: space, harness)
            alice.setPresence(ByteBuffer(bytes: [1]), in: space.id)
            let peer = try await carol.hear(.presence, as: PresenceNotification.self).peer
            for client in [revoker, alice, bob] { _ = try await client.takeNotifications() }

            try await revoker.revoke(TestDelegation.cid(of: aliceChain), in: space.id, ucan: rootChain)
            _ = try await revoker.push([.fixture(1)], to: space.id, ucan: rootChain)
            alice.setPresence(ByteBuffer(bytes: [2]), in: space.id)
            alice.sendEvent(ByteBuffer(bytes: [3]), to: space.id)
            carol.sendEvent(ByteBuffer(bytes: [4]), to: space.id)
            for client in [alice, carol] { try await client.settle() }
            for client in [alice, bob] { #expect(try await client.takeNotifications() == ["revoked"]) }
            let revocation = RevokedNotification(space: space.id)
            var heard: [String] = []
            while heard.count < 3 {
                let notification = try await carol.nextNotification()
                if notification.method == Method.presenceLeave.rawValue {
                    #expect(try notification.params.decode(as: PresenceLeaveNotification.self).peer == peer)
                }
                if notification.method == Method.revoked.rawValue {
                    #expect(try notification.params.decode() == revocation)
                }
                heard.append(notification.method)
            }
            #expect(heard.sorted() == ["presence.leave", "revoked", "sync"])
            #expect(heard.last == "sync")
            #expect(try await revoker.takeNotifications() == ["presence.leave", "event"])
        }
    }

    @Test("MRV-11: who had subscribed again by another chain stays", arguments: TestBackend.available)
    func revokedAfterRenewal(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let space = try await SharedSpace.create(harness)
            let rootChain = space.chain("root", permission: .admin)
            let revoker = try await self.member("root", of: space, harness, ucan: rootChain)
            let old = space.chain("alice")
            let alice = try await self.member("alice", of: space, harness, ucan: old)
            let renewed = space.chain("bob", "alice")
            _ = try await alice.subscribe(space.id, ucan: renewed)
            try await revoker.revoke(TestDelegation.cid(of: old), in: space.id, ucan: rootChain)
            _ = try await revoker.push([.fixture(1)], to: space.id, ucan: rootChain)
            #expect(try await alice.takeNotifications() == ["revoked", "sync"])
            try await revoker.revoke(TestDelegation.cid(of: renewed), in: space.id, ucan: rootChain)
            _ = try await revoker.push([.fixture(2)], to: space.id, ucan: rootChain)
            #expect(try await alice.takeNotifications() == ["revoked"])
        }
    }

    @Test(
        "a member may take back its own access, hears nothing afterwards, and gets its answer",
        arguments: TestBackend.available)
    func revokesItself(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let space = try await SharedSpace.create(harness)
            let chain = space.chain("alice")
            let alice = try await self.member("alice", of: space, harness, ucan: chain)
            let carol = try await self.member("carol", of: space, harness)
            try await alice.revoke(TestDelegation.cid(of: chain), in: space.id, ucan: chain)
            _ = try await carol.push([.fixture(1)], to: space.id, ucan: space.chain("carol"))
            #expect(try await alice.takeNotifications().isEmpty)
            #expect(try await carol.takeNotifications() == ["revoked"])
        }
    }

    @Test(
        "PRS-1, PRS-8, EVT-1: members of a shared space see each other under pseudonyms, also across users",
        arguments: TestBackend.available)
    func presence(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let space = try await SharedSpace.create(harness)
            let alice = try await self.member("alice", of: space, harness)
            let bob = try await self.member("bob", of: space, harness, ucan: space.chain("bob", permission: .read))
            bob.setPresence(ByteBuffer(bytes: [1]), in: space.id)
            bob.sendEvent(ByteBuffer(bytes: [2]), to: space.id)
            let presence: PresenceNotification = try await alice.hear(.presence)
            #expect(try await alice.hear(.event, as: PresenceNotification.self).peer == presence.peer)
            let carol = harness.connect(SharedSpace.principal("carol"))
            let subscribed = try await carol.subscribe(space.id, ucan: space.chain("carol"), presence: true)
            #expect(subscribed.peers == [.init(peer: presence.peer, data: presence.data)])
        }
    }

    @Test(
        "NTF-4: a subscriber of another space hears nothing of appends, revocations, presence and events",
        arguments: TestBackend.available)
    func otherSpace(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let space = try await SharedSpace.create(harness)
            let other = try await SharedSpace.create(harness)
            let stranger = try await self.member("carol", of: other, harness)
            let alice = try await self.member("alice", of: space, harness)
            let ucan = space.chain("alice")
            _ = try await alice.append(.fixture("entry", to: space.id, ucan: ucan))
            try await alice.revoke("cid", in: space.id, ucan: ucan)
            alice.setPresence(ByteBuffer(bytes: [1]), in: space.id)
            alice.sendEvent(ByteBuffer(bytes: [1]), to: space.id)
            alice.clearPresence(in: space.id)
            try await alice.settle()
            #expect(try await stranger.takeNotifications().isEmpty)
        }
    }

    @Test(
        "OX4: no delegation, payload, mailbox id, presence or event appears in the log at trace level",
        arguments: TestBackend.available)
    func logsHoldNoSecrets(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) {
            $0.rateLimits = .fixture(invitations: 1)
        } _: { harness in
            let space = try await SharedSpace.create(harness)
            let alice = try await self.member("alice", of: space, harness)
            let ucan = space.chain("alice")
            let mailboxID = mailbox("e")
            _ = try await alice.append(.fixture("payload-secret", to: space.id, ucan: ucan))
            alice.setPresence(ByteBuffer(string: "presence-secret"), in: space.id)
            alice.sendEvent(ByteBuffer(string: "event-secret"), to: space.id)
            _ = try await alice.invite(mailboxID, "invitation-secret")
            for wrong in ["", "invitation-secret"] {
                await #expect(throws: ErrorBody.self) { try await alice.invite(mailboxID, wrong) }
            }
            try await alice.revoke("cid-secret", in: space.id, ucan: ucan)
            await #expect(throws: ErrorBody.self) {
                try await alice.append(.fixture("payload-secret", to: .random(), ucan: ucan))
            }
            await harness.storage.close()
            await #expect(throws: ErrorBody.self) {
                try await alice.append(.fixture("payload-secret", to: space.id, ucan: ucan))
            }
            await #expect(throws: ErrorBody.self) { try await alice.invite(mailboxID, "invitation-secret") }
            let lines = harness.logs.lines
            #expect(lines.contains { $0.contains("RPC finished") && $0.contains("method=membership.append") })
            for secret in ["secret", ucan, mailboxID, TestDelegation.did("alice")] {
                #expect(!lines.contains { $0.contains(secret) })
            }
        }
    }
}
