import NIOCore
import SyncAuth
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncCore

/// `subscribe`, `push` and `pull` in spaces that belong to nobody alone.
@Suite("Delegated access", .timeLimit(.minutes(5)))
struct DelegatedAccessTests {
    /// A space whose root key is `root`.
    private struct Shared: Sendable {
        let id = SpaceID.random()

        init(_ harness: EngineHarness) async throws {
            _ = try await harness.storage.createSpace(self.id, clientID: "c", rootPublicKey: TestDelegation.rootKey())
        }

        func ucan(
            _ people: String..., permission: Permission = .write, expiresAt: UInt64 = TestDelegation.farFuture
        ) -> String { TestDelegation.chain(["root"] + people, permission, over: self.id, expiresAt: expiresAt) }
    }

    private func person(_ name: String, did: String? = nil) -> Principal {
        var principal = Principal.fixture(name)
        principal.did = did ?? TestDelegation.did(name)
        return principal
    }

    private func subscribe(
        _ client: TestClient, _ entries: (space: SpaceID, ucan: String)...
    ) async throws -> SubscribeResult {
        try await client.call(
            .subscribe, SubscribeParams(spaces: entries.map { .init(id: $0.space.wireText, ucan: $0.ucan) }))
    }

    private func push(
        _ client: TestClient, _ changes: [PushParams.Change], to space: SpaceID, _ ucan: String
    ) async throws -> PushResult {
        try await client.call(.push, PushParams(space: space.wireText, ucan: ucan, changes: changes))
    }

    private func pull(
        _ client: TestClient, _ entries: (space: SpaceID, ucan: String)...
    ) async throws -> TestClient.Answer {
        let spaces = entries.map { PullParams.Entry(id: $0.space.wireText, since: 0, ucan: $0.ucan) }
        return try await client.answer(to: client.request(.pull, PullParams(spaces: spaces)))
    }

    private func forbidden(_ space: SpaceID) -> SubscribeResult {
        var result = SubscribeResult(spaces: [])
        result.errors.append(.init(space: space.wireText, error: .forbidden))
        return result
    }

    @Test(
        "SUB-6, SUB-7: delegated by the root or once removed, the space answers with its values",
        arguments: TestBackend.available)
    func subscribed(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let space = try await Shared(harness)
            try await harness.database.setKeyGenerations(of: space.id, current: 3, minimum: 1)
            try await harness.database.setRewrapEpoch(of: space.id, to: 2)
            let bob = harness.connect(self.person("bob"))
            for ucan in [space.ucan("bob", permission: .read), space.ucan("alice", "bob", permission: .read)] {
                let result = try await self.subscribe(bob, (space.id, ucan))
                #expect(
                    result.spaces == [.init(id: space.id.wireText, cursor: 0, keyGeneration: 3, rewrapEpoch: 2)])
                #expect(result.errors.isEmpty)
            }
        }
    }

    @Test(
        "SUB-8, SUB-9, SUB-10: a revoked leaf or proof is forbidden, one revoked in another space is not",
        arguments: TestBackend.available)
    func revoked(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let (space, elsewhere) = (try await Shared(harness), try await Shared(harness))
            let bob = harness.connect(self.person("bob"))
            for index in 0...1 {
                let ucan = space.ucan("alice", "bob")
                let cid = try UnverifiedDelegation(parsing: ucan).cids[index]
                try await harness.storage.revoke(cid, in: elsewhere.id)
                #expect(try await self.subscribe(bob, (space.id, ucan)).spaces.count == 1)
                try await harness.storage.revoke(cid, in: space.id)
                #expect(try await self.subscribe(bob, (space.id, ucan)) == self.forbidden(space.id))
            }
        }
    }

    @Test(
        "auth §5.5: revoking a token takes away what rests on its other form, as a leaf and as a proof",
        arguments: TestBackend.available)
    func revokedTwin(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let space = try await Shared(harness)
            let bob = harness.connect(self.person("bob"))
            let leaf = space.ucan("bob")
            let proof = space.ucan("alice")
            let lent = TestDelegation.delegate(
                from: "alice", to: "bob", .write, over: space.id, proof: TestDelegation.twin(of: proof))
            for (shown, revoked) in [(TestDelegation.twin(of: leaf), leaf), (lent, proof)] {
                #expect(try await self.subscribe(bob, (space.id, shown)).spaces.count == 1)
                try await harness.storage.revoke(TestDelegation.cid(of: revoked), in: space.id)
                #expect(try await self.subscribe(bob, (space.id, shown)) == self.forbidden(space.id))
                #expect(try await self.push(bob, [.fixture(1)], to: space.id, shown) == .refused(.forbidden))
            }
        }
    }

    @Test(
        "SUB-21, TOK-7: a token without DID opens no shared space; nothing tells why", arguments: TestBackend.available)
    func noDID(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let space = try await Shared(harness)
            let bob = harness.connect(self.person("bob", did: ""))
            #expect(try await self.subscribe(bob, (space.id, space.ucan("bob"))) == self.forbidden(space.id))
            #expect(try await self.push(bob, [.fixture(1)], to: space.id, space.ucan("bob")) == .refused(.forbidden))
            #expect(try await self.pull(bob, (space.id, space.ucan("bob"))).chunks.isEmpty)
        }
    }

    @Test(
        "A failing entry leaves an existing subscription and the other entries alone", arguments: TestBackend.available)
    func mixed(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let (first, second) = (try await Shared(harness), try await Shared(harness))
            let person = self.person("bob")
            let bob = harness.connect(person)
            #expect(try await self.subscribe(bob, (first.id, first.ucan("bob"))).spaces.count == 1)
            let result = try await self.subscribe(
                bob, (first.id, first.ucan("alice")), (second.id, second.ucan("bob")), (person.space, ""),
                (second.id, first.ucan("bob")))
            #expect(result.spaces.map(\.id) == [second.id.wireText, person.space.wireText])
            #expect(result.errors.map(\.space) == [first.id.wireText, second.id.wireText])
            #expect(result.errors.map(\.error) == [.forbidden, .forbidden])
            let alice = harness.connect(self.person("alice"))
            for space in [first, second] {
                _ = try await self.push(alice, [.fixture(1)], to: space.id, space.ucan("alice"))
                #expect(try await bob.notification().space == space.id)
            }
        }
    }

    @Test(
        "PSH-6, PSH-11: who may write writes and the others hear it; who may only read is refused",
        arguments: TestBackend.available)
    func pushed(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let space = try await Shared(harness)
            let (alice, bob) = (harness.connect(self.person("alice")), harness.connect(self.person("bob")))
            let reading = space.ucan("bob", permission: .read)
            _ = try await self.subscribe(bob, (space.id, reading))
            #expect(
                try await self.push(alice, [.fixture(1)], to: space.id, space.ucan("alice")) == .accepted(cursor: 1))
            #expect(try await bob.notification().cursor == 1)
            #expect(try await self.push(bob, [.fixture(2)], to: space.id, reading) == .refused(.forbidden))
            #expect(try await self.push(bob, [.fixture(2)], to: space.id, "") == .refused(.forbidden))
            #expect(
                try await self.push(bob, [.fixture(2)], to: space.id, space.ucan("alice", "bob", permission: .admin))
                    == .accepted(cursor: 2))
        }
    }

    @Test(
        "PSH-18, Δ-S4: a member that still writes under an epoch below the minimum is stale, one at the minimum is not",
        arguments: TestBackend.available)
    func stale(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let space = try await Shared(harness)
            try await harness.database.setKeyGenerations(of: space.id, current: 3, minimum: 2)
            let alice = harness.connect(self.person("alice"))
            let ucan = space.ucan("alice")
            func push(_ epochs: UInt32...) async throws -> PushResult {
                let changes = epochs.enumerated().map { index, epoch in
                    PushParams.Change.fixture(Int.random(in: 1...1_000_000) + index, dek: .wrappedDEK(epoch: epoch))
                }
                return try await self.push(alice, changes, to: space.id, ucan)
            }
            #expect(try await push(1) == .refused(.keyGenerationStale))
            #expect(try await push(3, 1) == .refused(.keyGenerationStale))
            #expect(try await push(2) == .accepted(cursor: 1))
            #expect(try await push(3, 2) == .accepted(cursor: 2))
            let unwrapped = PushParams.Change.fixture(0, dek: ByteBuffer(bytes: [1]))
            #expect(try await self.push(alice, [unwrapped], to: space.id, ucan) == .accepted(cursor: 3))
        }
    }

    @Test(
        "PUL-2, PUL-6: a delegated space is pulled, one without delegation is skipped without a word",
        arguments: TestBackend.available)
    func pulled(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let (mine, other) = (try await Shared(harness), try await Shared(harness))
            let bob = harness.connect(self.person("bob"))
            let ucan = mine.ucan("bob")
            for space in [mine, other] {
                _ = try await harness.storage.push(
                    Push(space: space.id, changes: ChangeSet(validating: [.fixture(1)], limits: PushLimits())))
            }
            let answer = try await self.pull(
                bob, (other.id, ""), (mine.id, ucan), (other.id, ucan), (mine.id, mine.ucan("alice")))
            #expect(answer.chunks.map(\.name) == ["pull.begin", "pull.record", "pull.commit"])
            #expect(try answer.chunks[1].data.decode(as: RecordEntry.self).space == mine.id.wireText)
            #expect(try answer.result.decode(as: ChunkCount.self).chunks == 3)
        }
    }

    @Test(
        "C9, SUB-23: a revocation that cannot be looked up is internal, never forbidden",
        arguments: TestBackend.available)
    func undecided(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let space = try await Shared(harness)
            let bob = harness.connect(self.person("bob"))
            _ = try await harness.database.execute("DROP TABLE revocations", [])
            let result = try await self.subscribe(bob, (space.id, space.ucan("bob")))
            #expect(result.errors.map(\.error) == [.internal])
            #expect(
                try await self.push(bob, [.fixture(1)], to: space.id, space.ucan("bob")) == .refused(.internal))
            #expect(try await self.pull(bob, (space.id, space.ucan("bob"))).chunks.isEmpty)
        }
    }

    @Test("Why somebody was refused is in the log, the token is not", arguments: TestBackend.available)
    func logged(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let space = try await Shared(harness)
            let bob = harness.connect(self.person("bob"))
            let ucan = space.ucan("bob", expiresAt: 1)
            _ = try await self.subscribe(bob, (space.id, ucan))
            #expect(harness.logs.lines.contains { $0.contains("Access refused") && $0.contains("UCAN expired") })
            #expect(!harness.logs.lines.contains { $0.contains(ucan) || $0.contains("did:key") })
        }
    }

    @Test(
        "NTF-7, C4: a subscription ends with its delegation; its client is told, its presence leaves, others go on",
        arguments: TestBackend.available)
    func expiry(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let space = try await Shared(harness)
            let watch = Task { await harness.engine.services.authorities.run() }
            defer { watch.cancel() }
            let (alice, bob) = (harness.connect(self.person("alice")), harness.connect(self.person("bob")))
            let expiry = UInt64(harness.wallClock.value) + 30
            _ = try await self.subscribe(alice, (space.id, space.ucan("alice")))
            _ = try await self.subscribe(bob, (space.id, space.ucan("bob", expiresAt: expiry)))
            await harness.clock.waitForSleeper(of: .seconds(31))
            harness.wallClock.advance(by: 31)
            harness.clock.advance(by: .seconds(31))
            guard case .notification("resubscribe", let params) = try await bob.next() else {
                Issue.record("Something else than `resubscribe` came.")
                return
            }
            #expect(try params.decode(as: ResubscribeNotification.self).spaces == [space.id.wireText])
            _ = try await self.push(alice, [.fixture(1)], to: space.id, space.ucan("alice"))
            #expect(try await self.subscribe(bob, (space.id, space.ucan("bob", expiresAt: expiry))).spaces.isEmpty)
            #expect(bob.earlierNotifications.isEmpty)
            let renewed = space.ucan("bob", expiresAt: expiry + 1_000)
            #expect(try await self.subscribe(bob, (space.id, renewed)).spaces.map(\.cursor) == [1])
            _ = try await self.push(alice, [.fixture(2)], to: space.id, space.ucan("alice"))
            #expect(try await bob.notification().cursor == 2)
            watch.cancel()
            await watch.value
        }
    }

    @Test("C3: who is revoked between its check and its subscription is not let in", arguments: TestBackend.available)
    func revokedMeanwhile(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let space = try await Shared(harness)
            let bob = harness.connect(self.person("bob"))
            let ucan = space.ucan("bob")
            let authorities = harness.engine.services.authorities
            harness.hooks.afterLookingForRevocations {
                await authorities.revoked(UnverifiedDelegation.cid(of: ucan), in: space.id, by: nil)
            }
            #expect(try await self.subscribe(bob, (space.id, ucan)) == self.forbidden(space.id))
            #expect(harness.engine.services.broker.publish(ByteBuffer(), to: space.id, except: nil) == 0)
        }
    }

    @Test(
        "C3: who is revoked while the answer is made is told that it has not subscribed",
        arguments: TestBackend.available)
    func revokedBeforeAnswer(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let space = try await Shared(harness)
            let bob = harness.connect(self.person("bob"))
            let ucan = space.ucan("bob")
            let authorities = harness.engine.services.authorities
            harness.hooks.afterReadingSpaces {
                await authorities.revoked(UnverifiedDelegation.cid(of: ucan), in: space.id, by: nil)
            }
            let params = SubscribeParams(spaces: [.init(id: space.id.wireText, ucan: ucan)])
            let id = bob.request(.subscribe, params)
            guard case .notification("revoked", _) = try await bob.next() else {
                Issue.record("Something else than `revoked` came.")
                return
            }
            let answer = try await bob.answer(to: id)
            #expect(try answer.result.decode() == self.forbidden(space.id))
            #expect(harness.engine.services.broker.publish(ByteBuffer(), to: space.id, except: nil) == 0)
        }
    }

    @Test(
        "C3: a chain that is revoked while its entry is answered fails, and cancels nothing that rests on another",
        arguments: TestBackend.available)
    func revokedRenewal(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let space = try await Shared(harness)
            let (alice, bob) = (harness.connect(self.person("alice")), harness.connect(self.person("bob")))
            let (first, second) = (space.ucan("bob"), space.ucan("bob"))
            let authorities = harness.engine.services.authorities
            #expect(try await self.subscribe(bob, (space.id, first)).spaces.count == 1)
            harness.hooks.afterReadingSpaces {
                await authorities.revoked(UnverifiedDelegation.cid(of: second), in: space.id, by: nil)
            }
            #expect(try await self.subscribe(bob, (space.id, second)) == self.forbidden(space.id))
            _ = try await self.push(alice, [.fixture(1)], to: space.id, space.ucan("alice"))
            #expect(try await bob.nextNotification().method == "revoked")
            #expect(try await bob.notification().cursor == 1)
            await authorities.revoked(UnverifiedDelegation.cid(of: first), in: space.id, by: nil)
            #expect(harness.engine.services.broker.publish(ByteBuffer(), to: space.id, except: nil) == 0)
        }
    }

    @Test(
        "C3: an entry that fails in storage leaves the authority of the subscription as it was",
        arguments: TestBackend.available)
    func failedRenewal(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let space = try await Shared(harness)
            let bob = harness.connect(self.person("bob"))
            let (first, second) = (space.ucan("bob"), space.ucan("bob"))
            let authorities = harness.engine.services.authorities
            #expect(try await self.subscribe(bob, (space.id, first)).spaces.count == 1)
            harness.hooks.failReadingSpaces(with: .unavailable)
            let failed = try await self.subscribe(bob, (space.id, second))
            #expect(failed.spaces.isEmpty)
            #expect(failed.errors == [.init(space: space.id.wireText, error: .internal)])
            await authorities.revoked(UnverifiedDelegation.cid(of: second), in: space.id, by: nil)
            #expect(harness.engine.services.broker.publish(ByteBuffer(), to: space.id, except: nil) == 1)
            await authorities.revoked(UnverifiedDelegation.cid(of: first), in: space.id, by: nil)
            #expect(harness.engine.services.broker.publish(ByteBuffer(), to: space.id, except: nil) == 0)
        }
    }

    @Test(
        "C3: a pull in progress is cut by the revocation: no chunk after it, no commit, forbidden",
        arguments: TestBackend.available)
    func cutPull(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let space = try await Shared(harness)
            for number in 1...200 {
                _ = try await harness.storage.push(
                    Push(space: space.id, changes: ChangeSet(validating: [.fixture(number)], limits: PushLimits())))
            }
            let bob = harness.connect(self.person("bob"))
            let ucan = space.ucan("bob")
            let id = bob.request(.pull, PullParams(spaces: [.init(id: space.id.wireText, since: 0, ucan: ucan)]))
            // The queue holds 64 frames: the pull waits for its reader.
            try await eventually { bob.connection.unreadFrames >= 32 }
            await harness.engine.services.authorities.revoked(
                UnverifiedDelegation.cid(of: ucan), in: space.id, by: nil)
            let queued = bob.connection.unreadFrames
            var chunks = 0
            await #expect(throws: ErrorBody(code: .forbidden, message: "forbidden")) {
                while true {
                    switch try await bob.next() {
                    case .chunk(id: id, name: "pull.commit", _): Issue.record("A cut pull was committed.")
                    case .chunk(id: id, _, _): chunks += 1
                    case .failure(id: id, let error): throw error
                    default: break
                    }
                }
            }
            #expect(chunks <= queued)
            #expect(harness.engine.services.revocations.leaseCount == 0)
        }
    }
}
