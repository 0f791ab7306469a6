import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncStoragePostgres

@Suite("Pushes on PostgreSQL", .timeLimit(.minutes(3)))
struct PostgresPushTests {
    @Test("CO12: a lock on one space does not delay a push to another", arguments: [3, 4, 10])
    func otherSpace(poolSize: Int) async throws {
        try await PostgresTestStorage.withPostgres(poolSize: poolSize) { test in
            let storage = test.storage
            let locked = try await test.makeSpace()
            let other = try await test.makeSpace()
            try await withThrowingTaskGroup(of: Int64?.self) { group in
                try await test.withWritesBlocked(to: locked) {
                    for number in 1...3 {
                        group.addTask { try await storage.push([.fixture(number)], to: locked).cursor }
                    }
                    try await test.waitUntil { $0.pushesQueued == 3 }
                    for number in 1...5 {
                        let cursor = try await storage.push([.fixture(number)], to: other).cursor
                        #expect(cursor == Int64(number))
                    }
                    #expect(storage.statistics.pushesQueued == 3)
                }
                let cursors = try await group.reduce(into: []) { $0.append($1) }
                #expect(cursors.compactMap(\.self).sorted() == [1, 2, 3])
            }
        }
    }

    @Test("W2: pushes of many spaces share transactions when every writer is busy")
    func manySpaces() async throws {
        try await PostgresTestStorage.withPostgres { test in
            let storage = test.storage
            var spaces: [SpaceID] = []
            for _ in 1...20 { spaces.append(try await test.makeSpace()) }
            let blocked = spaces.prefix(2)
            try await withThrowingTaskGroup(of: (SpaceID, Int64?).self) { group in
                try await test.withWritesBlocked(to: blocked[0]) {
                    try await test.withWritesBlocked(to: blocked[1]) {
                        // Both writers wait for a lock.
                        for space in blocked { group.addTask { (space, try await self.push(1, to: space, storage)) } }
                        try await test.waitUntil { $0.pushesQueued == 2 }
                        for number in 2...3 {
                            for space in spaces.dropFirst(2) {
                                group.addTask { (space, try await self.push(number, to: space, storage)) }
                            }
                        }
                        try await test.waitUntil { $0.pushesQueued == 38 }
                    }
                }
                var cursors: [SpaceID: Set<Int64>] = [:]
                for try await (space, cursor) in group { cursors[space, default: []].insert(try #require(cursor)) }
                for space in spaces { #expect(cursors[space] == (blocked.contains(space) ? [1] : [1, 2])) }
            }
            #expect(storage.statistics.pushes == 38)
            #expect(storage.statistics.commits <= 8)
        }
    }

    private func push(_ number: Int, to space: SpaceID, _ storage: any Storage) async throws -> Int64? {
        try await storage.push([.fixture(number)], to: space).cursor
    }

    @Test(
        "A transaction that PostgreSQL gives up for another, or for a lock, is tried three times",
        arguments: ["40001", "40P01", "55P03"])
    func retries(code: String) async throws {
        try await PostgresTestStorage.withPostgres { test in
            let space = try await test.makeSpace()
            try await test.execute("CREATE SEQUENCE attempts", [])
            for (failures, expected) in [(2, true), (3, false)] {
                try await test.execute("ALTER SEQUENCE attempts RESTART", [])
                try await test.execute(
                    """
                    CREATE OR REPLACE FUNCTION give_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                        IF nextval('attempts') <= \(failures) THEN
                            RAISE EXCEPTION 'given up' USING ERRCODE = '\(code)';
                        END IF;
                        RETURN NEW;
                    END $$
                    """, [])
                try await test.execute(
                    """
                    CREATE OR REPLACE TRIGGER give_up BEFORE INSERT ON records FOR EACH ROW EXECUTE FUNCTION give_up()
                    """, [])
                if expected {
                    #expect(try await test.storage.push([.fixture(1)], to: space).cursor == 1)
                } else {
                    await #expect(throws: StorageError.unavailable) {
                        _ = try await test.storage.push([.fixture(2)], to: space)
                    }
                    #expect(try await test.storage.space(space).cursor == 1)
                }
            }
        }
    }

    @Test("A push that waits longer than it may is unavailable, and so are those behind it; later ones are served")
    func pushDeadline() async throws {
        try await PostgresTestStorage.withPostgres(waitLimit: .milliseconds(300)) { test in
            let storage = test.storage
            let space = try await test.makeSpace()
            try await test.withWritesBlocked(to: space) {
                await withTaskGroup { group in
                    for number in 1...4 {
                        group.addTask {
                            await #expect(throws: StorageError.unavailable) {
                                _ = try await storage.push([.fixture(number)], to: space)
                            }
                        }
                    }
                }
            }
            // Those that a lost connection had begun may still be written: what matters is that there is no gap.
            let later = try await storage.push([.fixture(9)], to: space)
            let pull = try await storage.collectPull(of: space)
            #expect(later.cursor == pull.meta.cursor)
            #expect(Set(pull.records.map(\.cursor)) == Set(1...pull.meta.cursor))
        }
    }

    @Test("A push whose connection is lost is unavailable, and written or not, but never in part")
    func lostPush() async throws {
        try await PostgresTestStorage.withPostgres { test in
            let space = try await test.makeSpace()
            let storage = test.storage
            let changes = (1...20).map { PushParams.Change.fixture($0) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                try await test.withWritesBlocked(to: space) {
                    group.addTask {
                        await #expect(throws: StorageError.unavailable) { try await storage.push(changes, to: space) }
                    }
                    try await test.waitForLock()
                    try await test.breakOpenPulls()
                    try await group.waitForAll()
                }
            }
            #expect(try await storage.collectPull(of: space).records.isEmpty)
            #expect(try await storage.push(changes, to: space).cursor == 1)
        }
    }

    @Test("CO1, CO6: two servers on one database give one space gapless cursors")
    func twoServers() async throws {
        try await PostgresTestStorage.withPostgres { test in
            let other = try await PostgresStorage.open(
                PostgresConfiguration(url: test.url, poolSize: 4), logger: SchemaUnderTest.logger)
            let space = SpaceID.random()
            let cursors = try await withThrowingTaskGroup(of: Int64?.self) { group in
                for number in 1...60 {
                    let storage: any Storage = number % 2 == 0 ? test.storage : other
                    group.addTask {
                        // Both may find that the space is missing.
                        try await storage.push([.fixture(number)], to: space, creator: "client").cursor
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(cursors.compactMap(\.self).sorted() == Array(1...60))
            await other.close()
        }
    }

    @Test("Pushes of two servers to many spaces in any order do not end in a deadlock")
    func crossing() async throws {
        try await PostgresTestStorage.withPostgres(poolSize: 2) { test in
            let other = try await PostgresStorage.open(
                PostgresConfiguration(url: test.url, poolSize: 2), logger: SchemaUnderTest.logger)
            let spaces = (0..<12).map { _ in SpaceID.random() }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<240 {
                    let storage: any Storage = number % 2 == 0 ? test.storage : other
                    let space = spaces[(number * 7) % spaces.count]
                    group.addTask {
                        let outcome = try await storage.push([.fixture(number)], to: space, creator: "client")
                        #expect(outcome.cursor != nil)
                    }
                }
                try await group.waitForAll()
            }
            for space in spaces { #expect(try await test.storage.space(space).cursor == 20) }
            await other.close()
        }
    }
}
