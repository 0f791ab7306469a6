import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Synchronization
import Testing

@testable import SyncStoragePostgres

@Suite("Change feed on PostgreSQL", .timeLimit(.minutes(2)))
struct PostgresChangeFeedTests {
    /// What one process hears.
    private final class Ear: Sendable {
        private let events = Mutex<[ChangeFeedEvent]>([])

        @Sendable
        func hear(_ event: ChangeFeedEvent) { self.events.withLock { $0.append(event) } }

        var resumptions: Int { self.events.withLock { $0.count { $0 == .resumed } } }

        func cursor(of space: SpaceID) -> Int64? {
            self.events.withLock { events in
                events.compactMap { if case .changed(let cursors) = $0 { cursors[space] } else { nil } }.max()
            }
        }

        func revocations(in space: SpaceID) -> [String] {
            self.events.withLock { events in
                events.compactMap { if case .revoked(let cid, space) = $0 { cid } else { nil } }
            }
        }

        func waitUntil(line: Int = #line, _ condition: (Ear) -> Bool) async throws {
            try await eventually("the announcements", within: .seconds(30), line: line) { condition(self) }
        }
    }

    /// Two processes that listen.
    private func withTwo(
        _ body: (PostgresTestStorage, (feed: any ChangeFeed, ear: Ear), (feed: any ChangeFeed, ear: Ear)) async throws
            -> Void
    ) async throws {
        try await PostgresTestStorage.withPostgres { test in
            // Under another name, so that the connections of the first can be cut alone.
            let url = test.url.replacing("application_name=", with: "application_name=other_")
            let other = try await PostgresStorage.open(
                PostgresConfiguration(url: url, poolSize: 3), logger: SchemaUnderTest.logger)
            let one = try (feed: #require(test.storage.changeFeed), ear: Ear())
            let two = try (feed: #require(other.changeFeed), ear: Ear())
            let result = await withTaskGroup(of: Void.self, returning: Result<Void, any Error>.self) { group in
                group.addTask { await one.feed.run(one.ear.hear) }
                group.addTask { await two.feed.run(two.ear.hear) }
                let result: Result<Void, any Error>
                do {
                    try await one.ear.waitUntil { $0.resumptions > 0 }
                    try await two.ear.waitUntil { $0.resumptions > 0 }
                    result = .success(try await body(test, one, two))
                } catch {
                    result = .failure(error)
                }
                group.cancelAll()
                return result
            }
            await other.close()
            try result.get()
        }
    }

    @Test("What one process announces the others hear, and not itself")
    func heard() async throws {
        try await self.withTwo { _, one, two in
            let space = SpaceID.random()
            let back = SpaceID.random()
            for cursor in 1...100 as ClosedRange<Int64> { one.feed.announce(space, at: cursor) }
            try await two.ear.waitUntil { $0.cursor(of: space) == 100 }
            two.feed.announce(back, at: 7)
            try await one.ear.waitUntil { $0.cursor(of: back) == 7 }
            #expect(one.ear.cursor(of: space) == nil && two.ear.cursor(of: back) == nil)
            #expect(one.ear.resumptions == 1 && two.ear.resumptions == 1)
        }
    }

    @Test("A lost connection is made again: who listens is told, and what was announced meanwhile goes out")
    func lost() async throws {
        try await self.withTwo { test, one, two in
            let space = SpaceID.random()
            for round in 1...8 as ClosedRange<Int64> {
                let last = round * 1_000
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        for cursor in last - 200...last {
                            one.feed.announce(space, at: cursor)
                            await Task.yield()
                        }
                    }
                    // Those of the first alone.
                    try await test.breakOpenPulls()
                    try await group.waitForAll()
                }
                try await two.ear.waitUntil { $0.cursor(of: space) == last }
                try await one.ear.waitUntil { $0.resumptions == Int(round) + 1 }
            }
            #expect(two.ear.resumptions == 1)
        }
    }

    @Test("C3: a revocation is heard by the others as often as it is made, before what is announced later")
    func revocation() async throws {
        try await self.withTwo { test, one, two in
            let space = try await test.makeSharedSpace()
            let cids = ["it's", String(repeating: "ab", count: 32), "it's"]
            for (number, cid) in cids.enumerated() {
                try await test.storage.revoke(cid, in: space)
                one.feed.announce(space, at: Int64(number + 1))
                try await two.ear.waitUntil { $0.cursor(of: space) == Int64(number + 1) }
                #expect(two.ear.revocations(in: space) == Array(cids.prefix(number + 1)))
            }
            let unknown = SpaceID.random()
            await #expect(throws: StorageError.self) { try await test.storage.revoke("x", in: unknown) }
            one.feed.announce(space, at: 10)
            try await two.ear.waitUntil { $0.cursor(of: space) == 10 }
            #expect(two.ear.revocations(in: unknown) == [])
            #expect(one.ear.revocations(in: space) == [])
        }
    }

    @Test("Of several tokens those that are revoked in their own space are found")
    func revokedAmong() async throws {
        try await PostgresTestStorage.withPostgres { test in
            let feed = try #require(test.storage.changeFeed)
            let (first, second) = (try await test.makeSharedSpace(), try await test.makeSharedSpace())
            #expect(try await feed.revocations(among: [:]) == [:])
            #expect(try await feed.revocations(among: [first: []]) == [:])
            for (cid, space) in [("a", first), ("b", first), ("c", second)] {
                try await test.storage.revoke(cid, in: space)
            }
            let found = try await feed.revocations(
                among: [first: ["a", "c", "d"], second: ["a", "c"], .random(): ["a"]])
            #expect(found == [first: ["a"], second: ["c"]])
            await test.storage.close()
            await #expect(throws: StorageError.unavailable) { _ = try await feed.revocations(among: [first: ["a"]]) }
        }
    }

    @Test("More spaces than are kept are told as anything")
    func overflow() async throws {
        try await self.withTwo { _, one, two in
            for _ in 0...PostgresLimits.announcedSpacesMax { one.feed.announce(.random(), at: 1) }
            let last = SpaceID.random()
            // Goes with the others, or after them.
            one.feed.announce(last, at: 1)
            try await two.ear.waitUntil { $0.resumptions > 1 || $0.cursor(of: last) == 1 }
            one.feed.announce(last, at: 2)
            try await two.ear.waitUntil { $0.cursor(of: last) == 2 || $0.resumptions > 1 }
        }
    }

    @Test("What was announced last goes out before the process ends")
    func goodbye() async throws {
        try await PostgresTestStorage.withPostgres { test in
            let feed = try #require(test.storage.changeFeed)
            let other = try await PostgresStorage.open(
                PostgresConfiguration(url: test.url, poolSize: 3), logger: SchemaUnderTest.logger)
            let otherFeed = try #require(other.changeFeed)
            let ear = Ear()
            let space = SpaceID.random()
            await withTaskGroup { group in
                group.addTask { await otherFeed.run(ear.hear) }
                try? await ear.waitUntil { $0.resumptions > 0 }
                for cursor in 1...5 as ClosedRange<Int64> {
                    await withTaskGroup { group in
                        let own = Ear()
                        group.addTask { await feed.run(own.hear) }
                        try? await own.waitUntil { $0.resumptions > 0 }
                        // The second is within the pause after the first.
                        feed.announce(space, at: cursor * 10)
                        feed.announce(space, at: cursor * 10 + 1)
                        group.cancelAll()
                    }
                    await #expect(throws: Never.self) {
                        try await ear.waitUntil { $0.cursor(of: space) == cursor * 10 + 1 }
                    }
                }
                group.cancelAll()
            }
            // Nothing is kept by a feed that does not run.
            feed.announce(space, at: 1_000)
            await other.close()
        }
    }

    @Test("Servers in other schemas hear nothing")
    func otherSchema() async throws {
        try await PostgresTestStorage.withPostgres { stranger in
            let feed = try #require(stranger.storage.changeFeed)
            let ear = Ear()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await feed.run(ear.hear) }
                try await ear.waitUntil { $0.resumptions > 0 }
                try await self.withTwo { _, one, two in
                    let space = SpaceID.random()
                    one.feed.announce(space, at: 1)
                    try await two.ear.waitUntil { $0.cursor(of: space) == 1 }
                    #expect(ear.cursor(of: space) == nil)
                }
                group.cancelAll()
            }
        }
    }

    @Test("Changes are read between two cursors, tombstones included")
    func changes() async throws {
        try await PostgresTestStorage.withPostgres { test in
            let space = try await test.makeSpace()
            let feed = try #require(test.storage.changeFeed)
            for number in 1...5 { _ = try await test.storage.push([.fixture(number)], to: space) }
            _ = try await test.storage.push([.fixture(1, nil, at: 1)], to: space)
            try await test.insertMember(.fixture(1, cursor: 7), into: space)
            try await test.insertFile(.fixture(of: .fixture(2), cursor: 8), into: space)
            for (after, through, expected) in [
                (0, 3, [2, 3]), (0, 6, [2, 3, 4, 5, 6]), (5, 7, [6, 7]), (6, 99, [7, 8]), (8, 9, []),
            ] as [(Int64, Int64, [Int64])] {
                let cursors = try await feed.withChanges(of: space, after: after, through: through) { snapshot in
                    var cursors: [Int64] = []
                    while let page = try await snapshot.nextPage() { cursors += page.map(\.cursor) }
                    return cursors
                }
                #expect(cursors == expected)
            }
            await #expect(throws: StorageError.spaceNotFound) {
                try await feed.withChanges(of: .random(), after: 0, through: 1) { _ in }
            }
        }
    }
}
