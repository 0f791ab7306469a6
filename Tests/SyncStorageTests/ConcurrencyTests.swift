import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Synchronization
import Testing

@Suite("Storage under concurrency", .timeLimit(.minutes(5)))
struct ConcurrencyTests {
    @Test("CO1: 50 tasks that push to one space get the cursors 1 to 50", arguments: TestBackend.available)
    func manyPushes(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            let outcomes = try await self.push((1...50).map { [.fixture($0)] }, to: space, of: test.storage)
            #expect(outcomes.compactMap(\.cursor).sorted() == Array(1...50))
            #expect(try await test.storage.space(space).cursor == 50)
            #expect(try await test.storage.collectPull(of: space).records.map(\.cursor) == Array(1...50))
        }
    }

    @Test("CO2: of 20 updates of one record one succeeds", arguments: TestBackend.available)
    func oneWinner(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            _ = try await test.storage.push([.fixture(1, "start")], to: space)
            let pushes = (1...20).map { [PushParams.Change.fixture(1, "\($0)", at: 1)] }
            let outcomes = try await self.push(pushes, to: space, of: test.storage)
            #expect(outcomes.compactMap(\.cursor) == [2])
            #expect(outcomes.count { $0 == .conflict } == 19)
            #expect(try await test.storage.space(space).cursor == 2)
        }
    }

    @Test("CO6: pushes of every kind leave no gap and no cursor twice", arguments: TestBackend.available)
    func gapless(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            _ = try await test.storage.push([.fixture(0)], to: space)
            let pushes: [[PushParams.Change]] = (1...60).map { number in
                switch number % 4 {
                case 0: []
                case 1: [.fixture(0)]
                case 2: [.fixture(number * 10), .fixture(number * 10 + 1), .fixture(number * 10 + 2)]
                default: [.fixture(number * 10)]
                }
            }
            let outcomes = try await self.push(pushes, to: space, of: test.storage)
            #expect(outcomes.count { $0 == .conflict } == 15)
            let written = zip(pushes, outcomes).compactMap { changes, outcome in changes.isEmpty ? nil : outcome.cursor
            }
            #expect(written.sorted() == Array(2...31))
            #expect(try await test.storage.space(space).cursor == 31)
        }
    }

    @Test("W3: outcomes are reported in the order of the cursors", arguments: TestBackend.available)
    func reportOrder(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let spaces = [try await test.makeSpace(), try await test.makeSpace()]
            let reports = Reports()
            await withTaskGroup { group in
                for number in 1...200 {
                    let space = spaces[number % 2]
                    // Every fifth conflicts, and is reported in its turn all the same.
                    let change = PushParams.Change.fixture(number, at: number % 5 == 0 ? 9_999 : 0)
                    group.addTask {
                        guard let changes = try? ChangeSet(validating: [change], limits: PushLimits()) else { return }
                        await storage.push(Push(space: space, changes: changes)) { outcome in
                            reports.add(outcome, for: space)
                        }
                        #expect(reports.count(for: space) > 0)
                    }
                }
            }
            for space in spaces {
                #expect(reports.cursors(for: space) == Array(1...80))
                #expect(reports.count(for: space) == 100)
            }
        }
    }

    @Test("W2: pushes that arrive while a commit is in progress share the next", arguments: TestBackend.available)
    func groupCommit(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeSpace()
            let before = storage.statistics
            try await withThrowingTaskGroup(of: PushOutcome.self) { group in
                try await test.withWritesBlocked(to: space) {
                    for number in 1...40 {
                        group.addTask {
                            try await storage.push([.fixture(number == 20 ? 1 : number)], to: space)
                        }
                    }
                    try await test.waitUntil { $0.pushesQueued == 40 }
                    #expect(storage.statistics.commits == before.commits)
                }
                let outcomes = try await group.reduce(into: []) { $0.append($1) }
                #expect(outcomes.compactMap(\.cursor).sorted() == Array(1...39))
                #expect(outcomes.count { $0 == .conflict } == 1)
            }
            #expect(storage.statistics.pushes - before.pushes == 40)
            #expect((1...3).contains(storage.statistics.commits - before.commits))
            // A batch counts as queued until all of it is settled, a little later than its outcomes are known.
            try await test.waitUntil { $0.pushesQueued == 0 }
        }
    }

    @Test("W2: a push that comes alone is one transaction", arguments: TestBackend.available)
    func alone(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            let before = test.storage.statistics
            for number in 1...5 { _ = try await test.storage.push([.fixture(number)], to: space) }
            #expect(test.storage.statistics.commits - before.commits == 5)
            #expect(test.storage.statistics.pushes - before.pushes == 5)
        }
    }

    @Test("W2: pushes to one record that queue up see each other", arguments: TestBackend.available)
    func chain(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeSpace()
            try await withThrowingTaskGroup(of: Void.self) { group in
                try await test.withWritesBlocked(to: space) {
                    // One after another, so that they queue in this order: each expects the one before.
                    for number in 0..<10 {
                        group.addTask {
                            let change = PushParams.Change.fixture(
                                1, number % 3 == 2 ? nil : "\(number)", at: Int64(number))
                            let outcome = try await storage.push([change], to: space)
                            #expect(outcome.cursor == Int64(number + 1))
                        }
                        try await test.waitUntil { $0.pushesQueued == number + 1 }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await test.recordRow(.fixture(1), in: space)?.cursor == 10)
        }
    }

    @Test("CO13: a push whose caller is cancelled is done or not done", arguments: TestBackend.available)
    func cancelled(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeSpace()
            let changes = (1...50).map { PushParams.Change.fixture($0) }
            let outcome = try await withThrowingTaskGroup(of: PushOutcome?.self) { group in
                try await test.withWritesBlocked(to: space) {
                    group.addTask { try? await storage.push(changes, to: space) }
                    try await test.waitUntil { $0.pushesQueued == 1 }
                    group.cancelAll()
                }
                return try await group.next() ?? nil
            }
            let pull = try await storage.collectPull(of: space)
            if let outcome {
                #expect(outcome.cursor == 1)
                #expect(pull.records.count == 50 && pull.meta.cursor == 1)
            } else {
                #expect(pull.records.isEmpty && pull.meta.cursor == 0)
            }
            #expect(try await storage.push([.fixture(99)], to: space).cursor == pull.meta.cursor + 1)
        }
    }

    @Test("CO14: stalled pulls leave room for everything else", arguments: TestBackend.available)
    func stalledPulls(on backend: TestBackend) async throws {
        try await backend.withStorage(poolSize: 4) { test in
            let storage = test.storage
            let space = try await test.makeSpace()
            _ = try await storage.push([.fixture(1)], to: space)
            let gate = Gate()
            try await withThrowingTaskGroup(of: Int.self) { group in
                // The pulls must end even if a check before them fails.
                defer { gate.open() }
                for _ in 0..<3 {
                    group.addTask {
                        try await storage.withPull(of: space, since: 0) { snapshot in
                            await gate.wait()
                            var count = 0
                            while let page = try await snapshot.nextPage() { count += page.count }
                            return count
                        }
                    }
                }
                // At the gate they have their snapshots.
                try await test.waitUntil { $0.pullsWaiting == 1 && gate.waitingCount == 2 }
                #expect(storage.statistics.pullsOpen == 2)
                for number in 2...6 {
                    #expect(try await storage.push([.fixture(number)], to: space).cursor == Int64(number))
                }
                try await storage.ping()
                #expect(try await storage.space(space).cursor == 6)
                #expect(try await storage.recordExists(.fixture(2), in: space))
                gate.open()
                // The third began when the others had ended.
                #expect(try await group.reduce(into: []) { $0.append($1) }.sorted() == [1, 1, 6])
            }
            #expect(storage.statistics.pullsOpen == 0 && storage.statistics.pullsWaiting == 0)
        }
    }

    @Test("Closing lets queued pushes finish", arguments: TestBackend.available)
    func closeFinishesPushes(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeSpace()
            try await withThrowingTaskGroup(of: Int64?.self) { group in
                try await test.withWritesBlocked(to: space) {
                    for number in 1...5 {
                        group.addTask { try await storage.push([.fixture(number)], to: space).cursor }
                    }
                    try await test.waitUntil { $0.pushesQueued == 5 }
                    group.addTask {
                        await storage.close()
                        return nil
                    }
                }
                let cursors = try await group.reduce(into: []) { $0.append($1) }
                #expect(cursors.compactMap(\.self).sorted() == Array(1...5))
            }
        }
    }

    private func push(
        _ pushes: [[PushParams.Change]], to space: SpaceID, of storage: any Storage
    ) async throws -> [PushOutcome] {
        try await withThrowingTaskGroup(of: (Int, PushOutcome).self) { group in
            for (index, changes) in pushes.enumerated() {
                group.addTask { (index, try await storage.push(changes, to: space)) }
            }
            return try await group.reduce(into: []) { $0.append($1) }.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }
}

/// Outcomes in the order in which they were reported.
private final class Reports: Sendable {
    private let outcomes = Mutex<[SpaceID: [Result<PushOutcome, StorageError>]]>([:])

    func add(_ outcome: Result<PushOutcome, StorageError>, for space: SpaceID) {
        self.outcomes.withLock { $0[space, default: []].append(outcome) }
    }

    func count(for space: SpaceID) -> Int { self.outcomes.withLock { $0[space]?.count ?? 0 } }

    func cursors(for space: SpaceID) -> [Int64] {
        self.outcomes.withLock { $0[space] ?? [] }.compactMap { try? $0.get().cursor }
    }
}
