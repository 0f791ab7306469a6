import SyncStorage
import SyncTesting
import Synchronization
import Testing

@Suite("Keyed lock", .timeLimit(.minutes(1)))
struct KeyedLockTests {
    private final class Trace: Sendable {
        private let state = Mutex<[String]>([])

        var words: [String] { self.state.withLock { $0 } }

        func add(_ word: String) { self.state.withLock { $0.append(word) } }

        func waitFor(_ word: String) async throws {
            while !self.words.contains(word) {
                try Task.checkCancellation()
                await Task.yield()
            }
        }
    }

    private func wait(until condition: () -> Bool) async throws {
        while !condition() {
            try Task.checkCancellation()
            await Task.yield()
        }
    }

    @Test("The lock passes on in the order of asking, and leaves nothing behind")
    func order() async throws {
        let lock = KeyedLock<String>()
        let trace = Trace()
        let clock = TestClock()
        try await withThrowingTaskGroup(of: Void.self) { group in
            try await lock.withLock("key", within: nil) {
                for number in 1...5 {
                    group.addTask {
                        try await lock.withLock("key", within: .seconds(10), clock: clock) { trace.add("\(number)") }
                    }
                    try await self.wait { lock.waitingCount == number }
                }
                #expect(try await lock.withLock("other", within: nil) { lock.count } == 2)
                #expect(trace.words == [])
            }
            try await group.waitForAll()
        }
        #expect(trace.words == ["1", "2", "3", "4", "5"])
        #expect(lock.count == 0)
    }

    @Test("A wait ends after its time, or with its task, and the lock passes to the next")
    func giveUp() async throws {
        let lock = KeyedLock<String>()
        let trace = Trace()
        let clock = TestClock()
        await withTaskGroup { group in
            try? await lock.withLock("key", within: nil) {
                group.addTask {
                    await #expect(throws: StorageError.unavailable) {
                        try await lock.withLock("key", within: .seconds(10), clock: clock) { trace.add("late") }
                    }
                    trace.add("timed out")
                }
                await clock.waitForSleepers(1)
                try await self.wait { lock.waitingCount == 1 }
                clock.advance(by: .seconds(10))
                try await trace.waitFor("timed out")

                let cancelled = Task {
                    _ = await #expect(throws: StorageError.unavailable) {
                        try await lock.withLock("key", within: .seconds(10), clock: clock) { trace.add("late") }
                    }
                }
                try await self.wait { lock.waitingCount == 1 }
                cancelled.cancel()
                await cancelled.value

                group.addTask {
                    try? await lock.withLock("key", within: .seconds(10), clock: clock) { trace.add("next") }
                }
                try await self.wait { lock.waitingCount == 1 }
            }
            await group.waitForAll()
        }
        #expect(trace.words == ["timed out", "next"])
        #expect(lock.count == 0)
    }

    @Test("A task that is cancelled already gets a free lock, and no other")
    func cancelledBefore() async throws {
        let lock = KeyedLock<Int>()
        let task = Task {
            while !Task.isCancelled { await Task.yield() }
            #expect(try await lock.withLock(1, within: .seconds(10)) { 1 } == 1)
            try await lock.withLock(1, within: .seconds(10)) {
                _ = await #expect(throws: StorageError.unavailable) {
                    try await lock.withLock(1, within: .seconds(10)) {}
                }
            }
        }
        task.cancel()
        try await task.value
        #expect(lock.count == 0)
    }

    @Test("Of a thousand tasks one is inside at any time")
    func exclusion() async throws {
        let lock = KeyedLock<Int>()
        let counters = Counters()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<1_000 {
                group.addTask {
                    try await lock.withLock(number % 2, within: number % 3 == 0 ? nil : .seconds(60)) {
                        counters.enter(number % 2)
                        await Task.yield()
                        counters.leave(number % 2)
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(counters.most == 1)
        #expect(lock.count == 0)
    }

    private final class Counters: Sendable {
        private let state = Mutex((inside: [0, 0], most: 0))

        var most: Int { self.state.withLock { $0.most } }

        func enter(_ key: Int) {
            self.state.withLock { state in
                state.inside[key] += 1
                state.most = max(state.most, state.inside[key])
            }
        }

        func leave(_ key: Int) { self.state.withLock { $0.inside[key] -= 1 } }
    }
}
