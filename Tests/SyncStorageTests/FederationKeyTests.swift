import NIOCore
import SyncStorage
import SyncTesting
import Testing

@Suite("Federation keys", .timeLimit(.minutes(5)))
struct FederationKeyTests {
    private func key(_ name: String, _ fill: UInt8 = 1) -> FederationKeyPair {
        FederationKeyPair(
            id: "https://a.example/.well-known/jwks.json#\(name)",
            privateKey: ByteBuffer(repeating: fill, count: 32), publicKey: ByteBuffer(repeating: fill ^ 0xff, count: 32)
        )
    }

    private func published(_ keys: FederationKeyPair...) -> [FederationPublicKey] {
        keys.map { FederationPublicKey(id: $0.id, publicKey: $0.publicKey) }
    }

    @Test("FK3, FK9: without keys nothing signs; the first key does, byte for byte", arguments: TestBackend.available)
    func first(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            #expect(try await storage.federationSigningKey() == nil)
            #expect(try await storage.federationPublicKeys().isEmpty)
            let isNew = try await storage.addFederationKey(self.key("1"))
            #expect(isNew)
            #expect(try await storage.federationSigningKey() == self.key("1"))
            #expect(try await storage.federationPublicKeys() == self.published(self.key("1")))
        }
    }

    @Test("FK4: an id that exists keeps its bytes", arguments: TestBackend.available)
    func existing(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let isNew = try await storage.addFederationKey(self.key("1"))
            #expect(isNew)
            #expect(try await storage.addFederationKey(self.key("1", 2)) == false)
            #expect(try await storage.federationSigningKey() == self.key("1"))
        }
    }

    @Test(
        "FK5: a second key waits until it is promoted; both are published until the first is deactivated",
        arguments: TestBackend.available)
    func rotation(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let (old, new) = (self.key("b"), self.key("a", 2))
            #expect(try await storage.addFederationKey(old))
            #expect(try await storage.addFederationKey(new))
            #expect(try await storage.federationSigningKey() == old)
            try await storage.promoteFederationKey(new.id)
            #expect(try await storage.federationSigningKey() == new)
            #expect(try await storage.federationPublicKeys() == self.published(old, new))
            try await storage.promoteFederationKey(new.id)
            #expect(try await storage.federationSigningKey() == new)
            try await storage.deactivateFederationKey(old.id)
            #expect(try await storage.federationSigningKey() == new)
            #expect(try await storage.federationPublicKeys() == self.published(new))
        }
    }

    @Test(
        "FK6: an unknown key is neither promoted nor deactivated, and the primary one stays",
        arguments: TestBackend.available)
    func unknown(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let isNew = try await storage.addFederationKey(self.key("1"))
            #expect(isNew)
            await #expect(throws: StorageError.federationKeyNotFound) {
                try await storage.promoteFederationKey("https://a.example/#none")
            }
            await #expect(throws: StorageError.federationKeyNotFound) {
                try await storage.deactivateFederationKey("https://a.example/#none")
            }
            #expect(try await storage.federationSigningKey() == self.key("1"))
        }
    }

    @Test(
        "FK7, FK8: without a primary key the next new one becomes it; a deactivated key comes back when promoted",
        arguments: TestBackend.available)
    func revival(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let isNew = try await storage.addFederationKey(self.key("1"))
            #expect(isNew)
            try await storage.deactivateFederationKey(self.key("1").id)
            #expect(try await storage.federationSigningKey() == nil)
            #expect(try await storage.federationPublicKeys().isEmpty)
            #expect(try await storage.addFederationKey(self.key("2", 2)))
            #expect(try await storage.federationSigningKey() == self.key("2", 2))
            try await storage.promoteFederationKey(self.key("1").id)
            #expect(try await storage.federationSigningKey() == self.key("1"))
            #expect(try await storage.federationPublicKeys() == self.published(self.key("1"), self.key("2", 2)))
        }
    }

    @Test("CO15: of keys that come at once all are stored, and one signs", arguments: TestBackend.available)
    func race(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in 1...10 {
                    group.addTask { try await storage.addFederationKey(self.key("\(number)", UInt8(number))) }
                }
                for try await isNew in group { #expect(isNew) }
            }
            #expect(try await storage.federationPublicKeys().count == 10)
            #expect(try await storage.federationSigningKey() != nil)
        }
    }
}
