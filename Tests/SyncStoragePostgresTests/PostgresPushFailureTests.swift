import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncStoragePostgres

@Suite("Pushes that PostgreSQL refuses or delays", .timeLimit(.minutes(3)))
struct PostgresPushFailureTests {
    @Test("CO12: a space that stays locked is unavailable; pushes that shared its transaction are not")
    func lockTimeout() async throws {
        // One connection, which gives a lock half a second.
        try await PostgresTestStorage.withPostgres(poolSize: 1, waitLimit: .seconds(3)) { test in
            let storage = test.storage
            let busy = try await test.makeSpace()
            let locked = try await test.makeSpace()
            let free = try await test.makeSpace()
            try await withThrowingTaskGroup(of: Void.self) { group in
                try await test.withWritesBlocked(to: locked) {
                    // What follows waits until this one is through, and then goes together.
                    try await storage.withPull(of: busy, since: 0) { _ in
                        group.addTask {
                            let cursor = try await storage.push([.fixture(1)], to: busy).cursor
                            #expect(cursor == 1)
                        }
                        try await test.waitUntil { $0.pushesQueued == 1 }
                        for number in 1...2 {
                            group.addTask {
                                await #expect(throws: StorageError.unavailable) {
                                    _ = try await storage.push([.fixture(number)], to: locked)
                                }
                            }
                        }
                        group.addTask {
                            let cursor = try await storage.push([.fixture(1)], to: free).cursor
                            #expect(cursor == 1)
                        }
                        try await test.waitUntil { $0.pushesQueued == 4 }
                    }
                    try await group.waitForAll()
                }
            }
            // The connection is still good, and nothing was written.
            #expect(try await storage.push([.fixture(1)], to: locked).cursor == 1)
        }
    }

    @Test("A lock that is held for a while only delays the push")
    func shortLock() async throws {
        // Four seconds for a lock, three times.
        try await PostgresTestStorage.withPostgres(poolSize: 2, waitLimit: .seconds(24)) { test in
            let space = try await test.makeSpace()
            let storage = test.storage
            try await withThrowingTaskGroup(of: Void.self) { group in
                try await test.withWritesBlocked(to: space) {
                    group.addTask {
                        let cursor = try await storage.push([.fixture(1)], to: space).cursor
                        #expect(cursor == 1)
                    }
                    try await test.waitForLock()
                    let pid = try await self.waitingPID(test)
                    // The first attempt is over when the statement has begun again.
                    try await eventually("the second attempt") { try await self.waitingPID(test) != pid }
                }
                try await group.waitForAll()
            }
        }
    }

    /// The statement that waits for a lock: its session and when it began.
    private func waitingPID(_ test: PostgresTestStorage) async throws -> [[TestValue]] {
        try await test.execute(
            """
            SELECT pid, query_start::text FROM pg_stat_activity WHERE wait_event_type = 'Lock'
            AND 'console_' || application_name = current_setting('application_name')
            """, [])
    }

    @Test("A push that PostgreSQL refuses fails alone, and neither its error nor the log quotes a row")
    func poisoned() async throws {
        try await PostgresTestStorage.withSchema { url in
            let log = LogRecorder()
            let storage = try await PostgresStorage.open(
                PostgresConfiguration(url: url, poolSize: 1), logger: log.logger)
            try await SchemaUnderTest.connected(to: url) { connection in
                _ = try await connection.column(
                    "ALTER TABLE records ADD CONSTRAINT no_such_blob CHECK (blob <> convert_to('secret', 'UTF8'))")
            }
            let spaces = (0..<4).map { _ in SpaceID.random() }
            for space in spaces { _ = try await storage.push([.fixture(0)], to: space, creator: "client") }
            try await withThrowingTaskGroup(of: (Int, Result<Int64?, StorageError>).self) { group in
                // They wait for the connection and are then written together.
                try await storage.withPull(of: spaces[0], since: 0) { _ in
                    for number in 1...40 {
                        group.addTask {
                            let change = PushParams.Change.fixture(number, number % 20 == 7 ? "secret" : "blob")
                            let changes = try ChangeSet(validating: [change], limits: PushLimits())
                            do throws(StorageError) {
                                let push = Push(space: spaces[number % 4], changes: changes)
                                return (number, .success(try await storage.push(push).cursor))
                            } catch {
                                return (number, .failure(error))
                            }
                        }
                    }
                    try await eventually("all pushes wait") { storage.statistics.pushesQueued >= 40 }
                }
                for try await (number, result) in group {
                    switch result {
                    case .success(let cursor):
                        #expect(cursor != nil && number % 20 != 7)
                    case .failure(.database(let detail)):
                        #expect(number % 20 == 7)
                        #expect(detail.contains("no_such_blob") && detail.contains("23514"))
                        #expect(!detail.contains("Failing row") && !detail.contains("secret"))
                    case .failure(let error): Issue.record("\(number): \(error)")
                    }
                }
            }
            for (index, space) in spaces.enumerated() {
                let cursor = try await storage.space(space).cursor
                #expect(cursor == (index == 3 ? 9 : 11))
            }
            // Halves of halves: far fewer transactions than pushes.
            #expect(storage.statistics.commits - 4 <= 12)
            let telling = log.lines.filter { $0.contains("Failing row") || $0.contains("secret") }
            #expect(telling == [])
            #expect(log.messages.count { $0 == "Pushes failed" } == 2)
            await storage.close()
        }
    }

    @Test("A failure that lies in no push fails the batch at once")
    func systemic() async throws {
        try await PostgresTestStorage.withSchema { url in
            let log = LogRecorder()
            let storage = try await PostgresStorage.open(
                PostgresConfiguration(url: url, poolSize: 1), logger: log.logger)
            let space = SpaceID.random()
            _ = try await storage.push([.fixture(0)], to: space, creator: "client")
            try await SchemaUnderTest.connected(to: url) { connection in
                _ = try await connection.column("ALTER TABLE records RENAME COLUMN blob TO blob_2")
            }
            await withTaskGroup { group in
                for number in 1...30 {
                    group.addTask {
                        await #expect(
                            throws: StorageError.database(
                                detail: "column \"blob\" of relation \"records\" does not exist (42703)")
                        ) { _ = try await storage.push([.fixture(number)], to: space) }
                    }
                }
            }
            #expect(log.messages.count { $0 == "Pushes failed" } <= 30)
            #expect(storage.statistics.commits == 1)
            await storage.close()
        }
    }
}
