import NIOCore
import SyncAuth
import SyncProtocol
import SyncStorage
import SyncTesting
import Synchronization
import Testing

@testable import SyncCore

/// docs/contract/rpc.md §2.3 row by row, on a real database.
@Suite("Space authorizer", .timeLimit(.minutes(2)))
struct SpaceAuthorizerTests {
    /// A shared space under the root key, and an authorizer with a clock.
    private struct Parts: Sendable {
        let storage: any Storage
        let space: SpaceID
        let time = EngineHarness.WallClock()
        let log = RevocationLog()
        let authorizer: SpaceAuthorizer

        var now: UInt64 { UInt64(self.time.value) }

        init(_ storage: any Storage, asking store: (any RevocationStore)? = nil) async throws {
            self.storage = storage
            self.space = .random()
            _ = try await storage.createSpace(self.space, clientID: "c", rootPublicKey: TestDelegation.rootKey())
            let time = self.time
            self.authorizer = SpaceAuthorizer(
                store: store ?? storage, log: self.log, unixTime: { time.value })
        }

        func principal(_ name: String, did: String? = nil) -> Principal {
            var principal = Principal.fixture(name)
            principal.did = did ?? TestDelegation.did(name)
            return principal
        }

        func read(_ name: String, _ ucan: String, of space: SpaceID? = nil) async throws -> ReadGrant {
            try await self.authorizer.authorizeRead(self.principal(name), of: space ?? self.space, ucan: ucan)
        }

        func write(_ name: String, _ ucan: String) async throws -> WriteGrant {
            try await self.authorizer.authorizeWrite(self.principal(name), to: self.space, ucan: ucan)
        }

        func chain(
            _ people: String..., permission: Permission = .read, expiresAt: UInt64 = TestDelegation.farFuture
        ) -> String {
            TestDelegation.chain(["root"] + people, permission, over: self.space, expiresAt: expiresAt)
        }
    }

    private func run(_ body: (Parts) async throws -> Void) async throws {
        try await TestBackend.sqlite.withStorage { database in try await body(Parts(database.storage)) }
    }

    private func refused(_ error: DelegationError) -> AuthorizationError { .refused(.delegation(error)) }

    @Test("§2.3 rule 1: the own personal space needs no delegation, and none is looked at")
    func personal() async throws {
        try await self.run { parts in
            let alice = parts.principal("alice", did: "")
            for ucan in ["", "junk"] {
                let grant = try await parts.authorizer.authorizeWrite(alice, to: alice.space, ucan: ucan)
                #expect(grant.creator == alice.clientID)
                #expect(grant.delegation == nil)
            }
            await parts.storage.close()
            _ = try await parts.authorizer.authorizeRead(alice, of: alice.space, ucan: "")
        }
    }

    @Test("§2.3 rules 2–4: unknown space, space without root key, no delegation, no DID, in this order")
    func order() async throws {
        try await self.run { parts in
            let carol = parts.principal("carol")
            let bob = parts.principal("bob", did: "")
            await #expect(throws: AuthorizationError.refused(.unknownSpace)) {
                try await parts.read("carol", "", of: .random())
            }
            _ = try await parts.storage.getOrCreateSpace(carol.space, clientID: "c")
            await #expect(throws: AuthorizationError.refused(.notShared)) {
                try await parts.read("bob", "", of: carol.space)
            }
            await #expect(throws: AuthorizationError.refused(.noDelegation)) {
                try await parts.authorizer.authorizeRead(bob, of: parts.space, ucan: "")
            }
            await #expect(throws: AuthorizationError.refused(.noDID)) {
                try await parts.authorizer.authorizeRead(bob, of: parts.space, ucan: "junk")
            }
            await #expect(throws: self.refused(.invalid(.malformed))) { try await parts.read("bob", "junk") }
        }
    }

    @Test("§6: a chain gives what it says and everything below, to its audience alone")
    func levels() async throws {
        try await self.run { parts in
            for permission in Permission.allCases {
                let ucan = parts.chain("alice", "bob", permission: permission)
                #expect(try await parts.read("bob", ucan).delegation?.permission == permission)
                if permission >= .write {
                    #expect(try await parts.write("bob", ucan).delegation?.cids.count == 2)
                } else {
                    await #expect(throws: self.refused(.attenuationViolation(.insufficient))) {
                        try await parts.write("bob", ucan)
                    }
                }
                await #expect(throws: self.refused(.identityMismatch(.audience))) {
                    try await parts.read("alice", ucan)
                }
            }
            let grant = try await parts.read("bob", parts.chain("bob"))
            #expect(grant.space == parts.space)
            #expect(grant.creator == nil)
        }
    }

    @Test(
        "UCN-9, UCN-10: a token revoked in the space closes every chain through it, revoked elsewhere none",
        arguments: TestBackend.available)
    func revoked(on backend: TestBackend) async throws {
        try await backend.withStorage { database in
            let parts = try await Parts(database.storage)
            let elsewhere = SpaceID.random()
            _ = try await parts.storage.createSpace(
                elsewhere, clientID: "c", rootPublicKey: TestDelegation.rootKey())
            for index in 0..<3 {
                let ucan = parts.chain("alice", "bob", "carol")
                let cids = try UnverifiedDelegation(parsing: ucan).cids
                try await parts.storage.revoke(cids[index], in: elsewhere)
                _ = try await parts.read("carol", ucan)
                try await parts.storage.revoke(cids[index], in: parts.space)
                await #expect(throws: self.refused(.revoked)) { try await parts.read("carol", ucan) }
                _ = try await parts.read("carol", parts.chain("alice", "bob", "carol"))
            }
        }
    }

    @Test("§2.3 rules 5 and 6: revoked comes before every other fault of a chain")
    func revokedFirst() async throws {
        try await self.run { parts in
            let ucan = parts.chain("bob", expiresAt: 1)
            await #expect(throws: self.refused(.expired)) { try await parts.read("bob", ucan) }
            await #expect(throws: self.refused(.identityMismatch(.audience))) { try await parts.read("alice", ucan) }
            try await parts.storage.revoke(UnverifiedDelegation.cid(of: ucan), in: parts.space)
            for name in ["bob", "alice"] {
                await #expect(throws: self.refused(.revoked)) { try await parts.read(name, ucan) }
            }
        }
    }

    @Test("UCN-32, C9: what cannot be found out is undecided, never refused")
    func undecided() async throws {
        try await TestBackend.sqlite.withStorage { database in
            let parts = try await Parts(database.storage)
            let ucan = parts.chain("bob")
            _ = try await parts.read("bob", ucan)
            await parts.storage.close()
            for (name, text) in [
                ("bob", ucan), ("bob", parts.chain("bob")), ("alice", ucan), ("bob", "junk"), ("bob", ""),
            ] {
                await #expect(throws: AuthorizationError.undecided(.unavailable)) { try await parts.read(name, text) }
            }
        }
    }

    @Test("The store is asked once for a request, whatever becomes of it, and for the tokens of a readable chain alone")
    func onceAsked() async throws {
        try await TestBackend.sqlite.withStorage { database in
            let asked = Mutex<[Int]>([])
            let store = InterruptedRevocations(database.storage) { cids, _ in asked.withLock { $0.append(cids.count) } }
            let parts = try await Parts(database.storage, asking: store)
            let ucan = parts.chain("alice", "bob")
            for _ in 0..<2 { _ = try await parts.read("bob", ucan) }
            for text in ["", "junk", String(repeating: "x", count: 65_537)] {
                await #expect(throws: AuthorizationError.self) { try await parts.read("bob", text) }
            }
            await #expect(throws: AuthorizationError.refused(.noDID)) {
                try await parts.authorizer.authorizeRead(parts.principal("bob", did: ""), of: parts.space, ucan: ucan)
            }
            // Each of the two tokens under either form of its signature.
            #expect(asked.withLock { $0 } == [4, 4, 0, 0, 0, 0])
        }
    }

    @Test("A chain seen before is judged anew in everything that can change: time, caller, level, space, revocation")
    func cached() async throws {
        try await self.run { parts in
            let expiry = parts.now + 60
            let ucan = parts.chain("bob", expiresAt: expiry)
            let first = try await parts.read("bob", ucan)
            #expect(try await parts.read("bob", ucan).delegation == first.delegation)
            await #expect(throws: self.refused(.identityMismatch(.audience))) { try await parts.read("alice", ucan) }
            await #expect(throws: self.refused(.attenuationViolation(.insufficient))) {
                try await parts.write("bob", ucan)
            }
            let other = SpaceID.random()
            _ = try await parts.storage.createSpace(other, clientID: "c", rootPublicKey: TestDelegation.rootKey())
            await #expect(throws: self.refused(.resourceMismatch)) { try await parts.read("bob", ucan, of: other) }
            parts.time.advance(by: 60.9)
            _ = try await parts.read("bob", ucan)
            parts.time.advance(by: 0.2)
            await #expect(throws: self.refused(.expired)) { try await parts.read("bob", ucan) }
            parts.time.advance(by: -60)
            _ = try await parts.read("bob", ucan)
            try await parts.storage.revoke(UnverifiedDelegation.cid(of: ucan), in: parts.space)
            await #expect(throws: self.refused(.revoked)) { try await parts.read("bob", ucan) }
        }
    }

    @Test("A text above 65,536 bytes is refused unread")
    func tooLong() async throws {
        try await self.run { parts in
            let text = String(repeating: "x", count: 65_537)
            await #expect(throws: self.refused(.invalid(.tooLong))) { try await parts.read("bob", text) }
        }
    }

    @Test("A grant carries a mark from before the store was asked")
    func mark() async throws {
        try await TestBackend.sqlite.withStorage { database in
            let log = Mutex<RevocationLog?>(nil)
            let revocations = InterruptedRevocations(database.storage) { cids, space in
                for cid in cids { log.withLock { $0?.append(cid, in: space) } }
            }
            let parts = try await Parts(database.storage, asking: revocations)
            log.withLock { $0 = parts.log }
            let grant = try await parts.read("bob", parts.chain("bob"))
            #expect(
                parts.log.objection(to: grant.delegation, since: grant.mark) == .refused(.delegation(.revoked)))
        }
    }
}

/// Lets something happen just after the store has answered.
private struct InterruptedRevocations: RevocationStore {
    let store: any RevocationStore
    let afterLookup: @Sendable ([String], SpaceID) -> Void

    init(_ store: any RevocationStore, afterLookup: @escaping @Sendable ([String], SpaceID) -> Void) {
        self.store = store
        self.afterLookup = afterLookup
    }

    func revoke(_ cid: String, in space: SpaceID) async throws(StorageError) {
        try await self.store.revoke(cid, in: space)
    }

    func access(to space: SpaceID, with cids: [String]) async throws(StorageError) -> SpaceAccess {
        let access = try await self.store.access(to: space, with: cids)
        self.afterLookup(cids, space)
        return access
    }
}
