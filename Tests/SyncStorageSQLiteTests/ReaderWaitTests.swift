import SyncStorage
import SyncTesting
import Testing

@testable import SyncStorageSQLite

extension SQLiteStorageTests {
    @Test("R1: a pull or a read that gets no connection in time is unavailable")
    func readExpires() async throws {
        let clock = TestClock()
        try await self.with({
            $0.readers = 1
            $0.clock = clock
        }) { test in
            let storage = test.storage
            let space = try await test.makeSpace()
            try await storage.withPull(of: space, since: 0) { _ in
                // Again and again: the second may come when the time of the first is up.
                let time = Task {
                    while !Task.isCancelled {
                        clock.advance(by: .seconds(30))
                        try? await Task.sleep(for: .milliseconds(2))
                    }
                }
                defer { time.cancel() }
                async let pull = #expect(throws: StorageError.unavailable) {
                    try await storage.collectPull(of: space)
                }
                async let read = #expect(throws: StorageError.unavailable) { try await storage.space(space) }
                _ = await (pull, read)
            }
            #expect(try await storage.space(space).cursor == 0)
        }
    }

    @Test("A waiting pull whose task is cancelled leaves the queue")
    func cancelledWait() async throws {
        try await self.with({ $0.readers = 1 }) { test in
            let storage = test.storage
            let space = try await test.makeSpace()
            try await storage.withPull(of: space, since: 0) { _ in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        await #expect(throws: StorageError.unavailable) { try await storage.collectPull(of: space) }
                    }
                    try await test.waitUntil { $0.pullsWaiting == 1 }
                    group.cancelAll()
                    try await group.waitForAll()
                }
                #expect(storage.statistics.pullsWaiting == 0)
            }
        }
    }

    @Test("Closing fails who waits for a connection")
    func closeWaiting() async throws {
        try await self.with({ $0.readers = 1 }) { test in
            let storage = test.storage
            let space = try await test.makeSpace()
            try await storage.withPull(of: space, since: 0) { _ in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        await #expect(throws: StorageError.unavailable) { try await storage.collectPull(of: space) }
                    }
                    try await test.waitUntil { $0.pullsWaiting == 1 }
                    await storage.close()
                    try await group.waitForAll()
                }
            }
        }
    }
}
