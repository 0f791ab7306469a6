import Dispatch
import SyncStorage
import Testing

@testable import SyncStorageSQLite

@Suite("Blocking calls", .timeLimit(.minutes(2)))
struct BlockingTests {
    @Test("Calls that block hold up neither each other nor a task")
    func pool() async throws {
        // On a busy machine one good run of three is the proof. Threads for a shared queue that stands still come one by one,
        // after a second each; those that came for one run do not suffice for the next.
        var isPrompt = false
        for run in 1...3 where !isPrompt { isPrompt = try await Self.duration(blocked: 32 * run) < .seconds(2) }
        #expect(isPrompt)
    }

    /// How long it takes until so many calls block, and a task has run beside them.
    private static func duration(blocked count: Int) async throws -> Duration {
        let begin = ContinuousClock.now
        let end = DispatchSemaphore(value: 0)
        let (blocked, began) = AsyncStream.makeStream(of: Void.self)
        return try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<count {
                group.addTask {
                    try await blocking(while: "wait") {
                        began.yield()
                        end.wait()
                    }
                }
            }
            var missing = count
            for await _ in blocked {
                missing -= 1
                if missing == 0 { break }
            }
            let duration = ContinuousClock.now - begin
            for _ in 0..<count { end.signal() }
            try await group.waitForAll()
            return duration
        }
    }
}
