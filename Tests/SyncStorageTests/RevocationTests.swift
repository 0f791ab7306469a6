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
            #expect(try await !storage.isAnyRevoked(of: [self.cid], in: space))
            try await storage.revoke(self.cid, in: space)
            #expect(try await storage.isAnyRevoked(of: [self.cid], in: space))
            #expect(try await !storage.isAnyRevoked(of: [self.cid], in: other))
            try await storage.revoke(self.cid, in: space)
            #expect(try await storage.isAnyRevoked(of: [self.cid], in: space))
            #expect(try await test.execute("SELECT ucan_cid FROM revocations", []) == [[.text(self.cid)]])
        }
    }

    @Test("RV2: an unknown space has no revocations, and takes none", arguments: TestBackend.available)
    func unknownSpace(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            #expect(try await !test.storage.isAnyRevoked(of: [self.cid], in: .random()))
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
            #expect(try await !storage.isAnyRevoked(of: [], in: space))
            try await storage.revoke("b", in: space)
            try await storage.revoke("it's", in: space)
            for (cids, isRevoked) in [
                (["a", "b", "c"], true), (["b"], true), (["a", "c"], false), (["B"], false), (["b "], false),
                (["", "a"], false), (["it's"], true), ((0..<500).map { "x\($0)" }, false),
                ((0..<500).map { "x\($0)" } + ["b"], true),
            ] {
                #expect(try await storage.isAnyRevoked(of: cids, in: space) == isRevoked)
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
                try await test.storage.isAnyRevoked(of: [self.cid], in: space)
            }
        }
    }
}
