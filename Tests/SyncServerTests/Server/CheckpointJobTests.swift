import Logging
import ServiceLifecycle
import SyncProtocol
import SyncStorage
import SyncTesting
import Synchronization
import Testing

@testable import SyncServer

@Suite("Checkpoint job", .timeLimit(.minutes(1)))
struct CheckpointJobTests {
    private let registry = MetricsRegistry()

    @Test("The job runs after five minutes, once for each time that something was written")
    func runs() async throws {
        try await self.withJob { storage, clock, checkpoints in
            let space = try await storage.makeSpace()
            for number in 1...2 {
                _ = try await storage.storage.push(
                    Push(space: space, changes: try ChangeSet(validating: [.fixture(number)], limits: PushLimits())))
                // The batch of a push ends behind its outcome, and until then the storage is not idle.
                try await storage.waitUntil { $0.pushesQueued == 0 }
                await clock.waitForSleepers(1)
                clock.advance(by: .seconds(330))
                try await checkpoints.waitUntil(number)
                // Nothing was written since: the job goes back to sleep and does nothing.
                await clock.waitForSleepers(1)
                clock.advance(by: .seconds(330))
                await clock.waitForSleepers(1)
                #expect(checkpoints.count == number)
            }
        }
    }

    @Test("OJ4: a job that fails is tried again at its next time")
    func failure() async throws {
        try await self.withJob(failures: 2) { storage, clock, checkpoints in
            let space = try await storage.makeSpace()
            _ = try await storage.storage.push(
                Push(space: space, changes: try ChangeSet(validating: [.fixture(1)], limits: PushLimits())))
            // The batch of a push ends behind its outcome, and until then the storage is not idle.
            try await storage.waitUntil { $0.pushesQueued == 0 }
            for attempt in 1...3 {
                await clock.waitForSleepers(1)
                clock.advance(by: .seconds(330))
                try await checkpoints.waitUntil(attempt)
            }
            await clock.waitForSleepers(1)
            let text = self.registry.exposition()
            #expect(text.contains(#"job_runs_total{job="sqlite_checkpoint",outcome="failure"} 2"#))
            #expect(text.contains(#"job_runs_total{job="sqlite_checkpoint",outcome="success"} 1"#))
        }
    }

    @Test("The job waits while a pull is open")
    func busy() async throws {
        try await self.withJob { storage, clock, checkpoints in
            let space = try await storage.makeSpace()
            try await storage.storage.withPull(of: space, since: 0) { _ in
                await clock.waitForSleepers(1)
                clock.advance(by: .seconds(330))
                await clock.waitForSleepers(1)
                #expect(checkpoints.count == 0)
            }
            clock.advance(by: .seconds(330))
            try await checkpoints.waitUntil(1)
        }
    }

    /// Counts checkpoints and makes the first ones fail.
    private final class Checkpoints: Sendable {
        private let state: Mutex<(count: Int, failures: Int)>

        init(failures: Int) { self.state = Mutex((0, failures)) }

        var count: Int { self.state.withLock { $0.count } }

        func run() throws(StorageError) {
            let fails = self.state.withLock { state in
                state.count += 1
                return state.count <= state.failures
            }
            if fails { throw .unavailable }
        }

        func waitUntil(_ count: Int) async throws {
            try await eventually("\(count) checkpoints") { self.count >= count }
        }
    }

    private func withJob(
        failures: Int = 0, _ body: (any TestStorage, TestClock, Checkpoints) async throws -> Void
    ) async throws {
        try await TestBackend.sqlite.withStorage { storage in
            let clock = TestClock()
            let checkpoints = Checkpoints(failures: failures)
            let job = CheckpointJob(
                storage: storage.storage, interval: .seconds(300), clock: clock,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
                runs: JobRuns("sqlite_checkpoint", self.registry),
                checkpoint: { () throws(StorageError) in try checkpoints.run() })
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await job.run() }
                try await body(storage, clock, checkpoints)
                group.cancelAll()
            }
        }
    }
}
