import NIOCore
import SyncAuth
import SyncClient
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

/// docs/contract/http.md §9.1 rows 4–7.
@Suite("Files of shared spaces", .timeLimit(.minutes(5)))
struct SharedFileTests {
    private let alice = Principal.fileUser("alice")
    private let bob = Principal.fileUser("bob")

    /// Runs `body` with a space of Alice's that holds record 1 and one file.
    private func withSpace(
        _ setting: FileSetting,
        _ body: (FileServer, TestDatabaseURL, SpaceID, FileID) async throws -> Void
    ) async throws {
        try await setting.withServer { _ in
        } _: { server, database in
            let space = SpaceID.random()
            let file = FileID.random()
            let own = TestDelegation.chain(["alice", "alice"], .admin, over: space)
            try await server.server.withClient(self.alice) { device in
                _ = try await device.createSpace(space, rootPublicKey: TestDelegation.rootKey("alice"))
                _ = try await device.push(PushParams(space: space.wireText, ucan: own, changes: [.fixture(1)]))
            }
            let stored = try await server.client(self.alice, in: space, ucan: own).put(file, ByteBuffer(string: "x"))
            #expect(stored.status == 201)
            try await body(server, database, space, file)
        }
    }

    /// PUT of a new file, GET and HEAD of the one that there is.
    private func statuses(_ files: FileClient, _ file: FileID) async throws -> [Int] {
        [
            try await files.put(.random(), ByteBuffer(string: "y")).status, try await files.get(file).status,
            try await files.head(file).status,
        ]
    }

    @Test("HL13: no X-UCAN, an unreadable one or an empty one, or a token without DID: 401", arguments: FileSetting.all)
    func credentials(_ setting: FileSetting) async throws {
        try await self.withSpace(setting) { server, _, space, file in
            let write = TestDelegation.chain(["alice", "bob"], .write, over: space)
            for ucan in [nil, "", "\u{F6}"] {
                let files = try server.client(self.bob, in: space, ucan: ucan)
                #expect(try await self.statuses(files, file) == [401, 401, 401])
                #expect(try await files.get(file).message == "authorization required")
            }
            var nameless = self.bob
            nameless.did = ""
            let files = try server.client(nameless, in: space, ucan: write)
            #expect(try await self.statuses(files, file) == [401, 401, 401])
        }
    }

    @Test("HL14: garbage, another space, another audience or too little: 403", arguments: FileSetting.all)
    func delegations(_ setting: FileSetting) async throws {
        try await self.withSpace(setting) { server, _, space, file in
            let useless = [
                "garbage", TestDelegation.chain(["alice", "bob"], .write, over: .random()),
                TestDelegation.chain(["alice", "carol"], .write, over: space),
                TestDelegation.chain(["bob", "bob"], .write, over: space),
                TestDelegation.chain(["alice", "bob"], .write, over: space, expiresAt: 1),
            ]
            for ucan in useless {
                let files = try server.client(self.bob, in: space, ucan: ucan)
                #expect(try await self.statuses(files, file) == [403, 403, 403])
                #expect(try await files.get(file).message == "access denied")
            }
            let read = TestDelegation.chain(["alice", "bob"], .read, over: space)
            #expect(try await self.statuses(server.client(self.bob, in: space, ucan: read), file) == [403, 200, 200])
        }
    }

    @Test("HL15: a revoked leaf or proof is 403, revoked elsewhere is nothing", arguments: FileSetting.all)
    func revoked(_ setting: FileSetting) async throws {
        try await self.withSpace(setting) { server, _, space, file in
            let own = TestDelegation.chain(["alice", "alice"], .admin, over: space)
            let proof = TestDelegation.chain(["alice", "bob"], .write, over: space)
            let leaf = TestDelegation.delegate(from: "bob", to: "carol", .write, over: space, proof: proof)
            let carol = Principal.fileUser("carol")
            let files = try server.client(carol, in: space, ucan: leaf)
            try await server.server.withClient(self.alice) { device in
                let elsewhere = SpaceID.random()
                let there = TestDelegation.chain(["alice", "alice"], .admin, over: elsewhere)
                _ = try await device.createSpace(elsewhere, rootPublicKey: TestDelegation.rootKey("alice"))
                try await device.revoke(TestDelegation.cid(of: leaf), in: elsewhere, ucan: there)
                try await device.revoke(TestDelegation.cid(of: proof), in: elsewhere, ucan: there)
                #expect(try await self.statuses(files, file) == [201, 200, 200])
                try await device.revoke(TestDelegation.cid(of: leaf), in: space, ucan: own)
                #expect(try await self.statuses(files, file) == [403, 403, 403])
                let second = TestDelegation.delegate(
                    from: "bob", to: "carol", .write, over: space, expiresAt: TestDelegation.farFuture - 1,
                    proof: proof)
                let again = try server.client(carol, in: space, ucan: second)
                #expect(try await self.statuses(again, file) == [201, 200, 200])
                try await device.revoke(TestDelegation.cid(of: proof), in: space, ucan: own)
                #expect(try await self.statuses(again, file) == [403, 403, 403])
            }
        }
    }

    @Test("C9: who cannot be judged gets 500, never a refusal", arguments: FileSetting.all)
    func undecided(_ setting: FileSetting) async throws {
        try await self.withSpace(setting) { server, database, space, file in
            let write = TestDelegation.chain(["alice", "bob"], .write, over: space)
            let files = try server.client(self.bob, in: space, ucan: write)
            #expect(try await files.get(file).status == 200)
            for table in ["revocations", "spaces"] {
                try await database.execute("ALTER TABLE \(table) RENAME TO hidden")
                let answers = try await self.statuses(files, file)
                try await database.execute("ALTER TABLE hidden RENAME TO \(table)")
                #expect(answers == [500, 500, 500], "\(table)")
            }
            #expect(try await self.statuses(files, file) == [201, 200, 200])
        }
    }
}
