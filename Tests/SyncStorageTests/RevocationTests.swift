import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@Suite("Revocations", .timeLimit(.minutes(5)))
struct RevocationTests {
    private let cid = String(repeating: "ab", count: 32)

    @Test("RV1: a revocation is of one space, and for ever", arguments: TestBackend.available)
    func revoke(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let (space, other) = (try await test.makeSharedSpace(), try await test.makeSharedSpace())
            #expect(try await !storage.access(to: space, with: [self.cid]).isAnyRevoked)
            try await storage.revoke(self.cid, in: space)
            #expect(try await storage.access(to: space, with: [self.cid]).isAnyRevoked)
            #expect(try await !storage.access(to: other, with: [self.cid]).isAnyRevoked)
            try await storage.revoke(self.cid, in: space)
            #expect(try await storage.access(to: space, with: [self.cid]).isAnyRevoked)
            #expect(try await test.execute("SELECT ucan_cid FROM revocations", []) == [[.text(self.cid)]])
        }
    }

    @Test("RV2: an unknown space has no revocations, and takes none", arguments: TestBackend.available)
    func unknownSpace(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            await #expect(throws: StorageError.spaceNotFound) {
                try await test.storage.access(to: .random(), with: [self.cid])
            }
            do {
                try await test.storage.revoke(self.cid, in: .random())
                Issue.record("The revocation was stored.")
            } catch StorageError.database(let detail) {
                #expect(!detail.contains(self.cid))
            }
            #expect(try await test.execute("SELECT ucan_cid FROM revocations", []) == [])
        }
    }

    @Test("Of several tokens one revoked is enough, and each text is its own", arguments: TestBackend.available)
    func several(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeSharedSpace()
            #expect(try await !storage.access(to: space, with: []).isAnyRevoked)
            try await storage.revoke("b", in: space)
            try await storage.revoke("it's", in: space)
            for (cids, isRevoked) in [
                (["a", "b", "c"], true), (["b"], true), (["a", "c"], false), (["B"], false), (["b "], false),
                (["", "a"], false), (["it's"], true), ((0..<500).map { "x\($0)" }, false),
                ((0..<500).map { "x\($0)" } + ["b"], true),
            ] {
                #expect(try await storage.access(to: space, with: cids).isAnyRevoked == isRevoked)
            }
        }
    }

    @Test("MRV-1: any text is taken for a CID, and stands for no other", arguments: TestBackend.available)
    func anyText(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeSharedSpace()
            var random = SystemRandomNumberGenerator()
            let long = (0..<1_000).map { _ in String(UInt64.random(in: .min ... .max, using: &random), radix: 36) }
                .joined()
            for cid in ["a\0b", long, "\0"] {
                try await storage.revoke(cid, in: space)
                try await storage.revoke(cid, in: space)
            }
            #expect(try await !storage.access(to: space, with: ["a", "ab", "b", self.cid]).isAnyRevoked)
        }
    }

    @Test("With the revocations comes the row of the space, in whatever state it is", arguments: TestBackend.available)
    func row(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let shared = try await test.makeSharedSpace()
            let personal = SpaceID.random()
            _ = try await storage.getOrCreateSpace(personal, clientID: "it's")
            for space in [shared, personal] {
                for cids in [[], [self.cid]] {
                    let access = try await storage.access(to: space, with: cids)
                    #expect(access == SpaceAccess(space: try await storage.space(space), isAnyRevoked: false))
                }
                _ = try await storage.push(
                    Push(
                        space: space, changes: ChangeSet(validating: [.fixture(1)], limits: PushLimits()),
                        creator: nil))
                try await storage.revoke(self.cid, in: space)
                let access = try await storage.access(to: space, with: ["other", self.cid])
                #expect(access == SpaceAccess(space: try await storage.space(space), isAnyRevoked: true))
                #expect(access.space.cursor == 1)
            }
        }
    }

    @Test("A revocation moves neither cursor nor version", arguments: TestBackend.available)
    func cursor(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSharedSpace()
            let before = try await test.storage.space(space)
            try await test.storage.revoke(self.cid, in: space)
            #expect(try await test.storage.space(space) == before)
        }
    }

    @Test("After close revocations are neither stored nor denied", arguments: TestBackend.available)
    func closed(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSharedSpace()
            await test.storage.close()
            await #expect(throws: StorageError.unavailable) { try await test.storage.revoke(self.cid, in: space) }
            await #expect(throws: StorageError.unavailable) {
                try await test.storage.access(to: space, with: [self.cid]).isAnyRevoked
            }
        }
    }
}
