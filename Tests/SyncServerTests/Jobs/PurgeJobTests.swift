import FoundationEssentials
import Logging
import ServiceLifecycle
import SyncProtocol
import SyncStorage
import SyncTesting
import Synchronization
import Testing

@testable import SyncServer

@Suite("Purge jobs", .timeLimit(.minutes(2)))
struct PurgeJobTests {
    private static let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    private static let hour: Int64 = 3_600_000_000

    private var now: Int64 { Int64(Date().timeIntervalSince1970 * 1_000_000) }

    /// Runs `job` until `body` has ended.
    private func running(_ job: PeriodicJob, _ body: () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await job.run() }
            try await body()
            group.cancelAll()
        }
    }

    @Test("OJ2: expired invitations disappear after a minute, then every hour", arguments: TestBackend.available)
    func invitations(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let clock = TestClock()
            let job = PeriodicJob.purgesInvitations(
                from: test.storage, PurgeIntervals(), clock: clock, logger: Self.silent)
            let kept = try await test.storage.createInvitation(in: "mailbox", payload: "kept")
            try await self.running(job) {
                for elapsed in [66, 3_960] {
                    let id = try await test.storage.createInvitation(in: "mailbox", payload: "gone").id
                    try await test.setExpiry(of: id, to: self.now - Self.hour)
                    await clock.waitForSleepers(1)
                    #expect(try await self.count("invitations", in: test) == 2)
                    clock.advance(by: .seconds(elapsed))
                    // Asleep again: the run is over.
                    await clock.waitForSleepers(1)
                    #expect(try await self.count("invitations", in: test) == 1)
                }
            }
            #expect(try await test.storage.invitation(kept.id, in: "mailbox") == kept)
        }
    }

    @Test("OJ3: clean-up leaves the actions of the last hour", arguments: TestBackend.available)
    func actions(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let clock = TestClock()
            let moment = self.now
            let job = PeriodicJob.cleansUpActions(
                from: test.storage, PurgeIntervals(), clock: clock, now: { moment }, logger: Self.silent)
            let actor = String(repeating: "a", count: 64)
            for age in [Self.hour + 2_000_000, Self.hour - 2_000_000] {
                try await test.storage.recordAction("invitation", by: actor)
                try await test.execute(
                    "UPDATE rate_limit_actions SET created_at = $1 WHERE created_at > $2",
                    [.moment(moment - age), .moment(moment - Self.hour / 2)])
            }
            try await self.running(job) {
                await clock.waitForSleepers(1)
                clock.advance(by: .seconds(660))
                await clock.waitForSleepers(1)
                #expect(try await self.count("rate_limit_actions", in: test) == 1)
                let left = try await test.storage.countRecentActions("invitation", by: actor, since: moment - Self.hour)
                #expect(left == 1)
            }
        }
    }

    private func count(_ table: String, in test: any TestStorage) async throws -> Int64? {
        try await test.execute("SELECT count(*) FROM \(table)", [])[0][0].integer
    }

    @Test("A purge goes on while its batches are full")
    func batches() async throws {
        let batches = Counter()
        try await PeriodicJob.purge("test", Self.silent) {
            batches.add()
            return batches.count == 3 ? PeriodicJob.purgedRowsMax - 1 : PeriodicJob.purgedRowsMax
        }
        #expect(batches.count == 3)
    }

    @Test("OJ4: a job that throws keeps ticking")
    func failure() async throws {
        let clock = TestClock()
        let counter = Counter()
        let job = PeriodicJob(name: "test", interval: .seconds(100), clock: clock, logger: Self.silent) {
            counter.add()
            throw StorageError.unavailable
        }
        try await self.running(job) {
            for expected in 1...3 {
                await clock.waitForSleepers(1)
                clock.advance(by: .seconds(110))
                await clock.waitForSleepers(1)
                #expect(counter.count == expected)
            }
        }
    }

    @Test("The time between two runs is the interval, give or take a tenth")
    func jitter() async throws {
        let clock = TestClock()
        let counter = Counter()
        let job = PeriodicJob(name: "test", interval: .seconds(100), clock: clock, logger: Self.silent) {
            counter.add()
        }
        try await self.running(job) {
            for expected in 1...20 {
                await clock.waitForSleepers(1)
                await clock.waitForSleeper(ofAtLeast: .seconds(90))
                clock.advance(by: .seconds(89))
                #expect(counter.count == expected - 1)
                clock.advance(by: .seconds(21))
                await clock.waitForSleeper(ofAtLeast: .seconds(90))
                #expect(counter.count == expected)
            }
        }
    }

    private final class Counter: Sendable {
        private let state = Mutex(0)

        var count: Int { self.state.withLock { $0 } }

        func add() { self.state.withLock { $0 += 1 } }
    }
}
