import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@Suite("Epochs", .timeLimit(.minutes(5)))
struct EpochTests {
    @Test("EP1, EP6: one epoch after the other, while no rewrap is pending", arguments: TestBackend.available)
    func advance(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeSharedSpace()
            _ = try await storage.push([.fixture(1)], to: space)
            try await storage.advanceEpoch(of: space, to: 2, setsMinimum: false)
            var row = try await storage.space(space)
            #expect(row.keyGeneration == 2 && row.rewrapEpoch == 2 && row.cursor == 1)
            await #expect(throws: StorageError.epochConflict(current: 2, rewrap: 2)) {
                try await storage.advanceEpoch(of: space, to: 3, setsMinimum: false)
            }
            try await storage.completeRewrap(of: space, for: 2)
            row = try await storage.space(space)
            #expect(row.keyGeneration == 2 && row.rewrapEpoch == nil && row.cursor == 1)
            try await storage.advanceEpoch(of: space, to: 3, setsMinimum: false)
            #expect(try await storage.space(space).keyGeneration == 3)
        }
    }

    @Test("EP2, EP7: an epoch is not skipped, and moves the minimum if asked to", arguments: TestBackend.available)
    func minimum(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeSharedSpace()
            await #expect(throws: StorageError.epochConflict(current: 1, rewrap: nil)) {
                try await storage.advanceEpoch(of: space, to: 3, setsMinimum: true)
            }
            try await storage.advanceEpoch(of: space, to: 2, setsMinimum: true)
            #expect(try await storage.space(space).minKeyGeneration == 2)
            try await storage.completeRewrap(of: space, for: 2)
            try await storage.advanceEpoch(of: space, to: 3, setsMinimum: false)
            let row = try await storage.space(space)
            #expect(row.minKeyGeneration == 2 && row.keyGeneration == 3)
            await #expect(throws: StorageError.keyGenerationStale) {
                try await storage.push([.fixture(1)], to: space, keyGeneration: 1)
            }
        }
    }

    @Test("EP3: only the rewrap in progress is completed", arguments: TestBackend.available)
    func complete(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeSharedSpace()
            await #expect(throws: StorageError.epochMismatch) { try await storage.completeRewrap(of: space, for: 1) }
            try await storage.advanceEpoch(of: space, to: 2, setsMinimum: false)
            await #expect(throws: StorageError.epochMismatch) { try await storage.completeRewrap(of: space, for: 3) }
            #expect(try await storage.space(space).rewrapEpoch == 2)
            try await storage.completeRewrap(of: space, for: 2)
            #expect(try await storage.space(space).rewrapEpoch == nil)
            await #expect(throws: StorageError.epochMismatch) { try await storage.completeRewrap(of: space, for: 2) }
            await #expect(throws: StorageError.spaceNotFound) {
                try await storage.completeRewrap(of: .random(), for: 2)
            }
        }
    }

    @Test("EP4: an unknown space is not found", arguments: TestBackend.available)
    func unknown(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            await #expect(throws: StorageError.spaceNotFound) {
                try await test.storage.advanceEpoch(of: .random(), to: 2, setsMinimum: false)
            }
        }
    }

    @Test(
        "EP5: the current epoch and numbers below it conflict", arguments: TestBackend.available,
        [1, 0, -1, Int32.min, Int32.max])
    func conflicts(on backend: TestBackend, epoch: Int32) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            await #expect(throws: StorageError.epochConflict(current: 1, rewrap: nil)) {
                try await test.storage.advanceEpoch(of: space, to: epoch, setsMinimum: true)
            }
            try await test.setKeyGenerations(of: space, current: Int32.max, minimum: 1)
            await #expect(throws: StorageError.epochConflict(current: Int32.max, rewrap: nil)) {
                try await test.storage.advanceEpoch(of: space, to: epoch, setsMinimum: true)
            }
        }
    }

    @Test("PL9: a pull shows the epoch that was begun", arguments: TestBackend.available)
    func pull(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            try await test.storage.advanceEpoch(of: space, to: 2, setsMinimum: false)
            let meta = try await test.storage.collectPull(of: space).meta
            #expect(meta == PullMeta(cursor: 0, keyGeneration: 2, rewrapEpoch: 2))
        }
    }

    @Test("CO7: of 10 tasks that begin one epoch one succeeds", arguments: TestBackend.available)
    func race(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeSharedSpace()
            let errors = await withTaskGroup(of: StorageError?.self) { group in
                for _ in 0..<10 {
                    group.addTask {
                        do throws(StorageError) {
                            try await storage.advanceEpoch(of: space, to: 2, setsMinimum: false)
                            return nil
                        } catch {
                            return error
                        }
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(errors.count { $0 == nil } == 1)
            #expect(errors.count { $0 == .epochConflict(current: 2, rewrap: 2) } == 9)
        }
    }
}
