import Logging
import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncStoragePostgres

@Suite("PostgreSQL storage", .timeLimit(.minutes(2)))
struct PostgresStorageTests {
    @Test("CO14: who finds no connection within the limit is told so")
    func acquireTimeout() async throws {
        try await PostgresTestStorage.withPostgres(poolSize: 1, waitLimit: .milliseconds(300)) { test in
            let storage = test.storage
            let space = try await test.makeSpace()
            try await storage.withPull(of: space, since: 0) { snapshot in
                await #expect(throws: StorageError.unavailable) { try await storage.ping() }
                await #expect(throws: StorageError.unavailable) {
                    try await storage.withPull(of: space, since: 0) { _ in }
                }
                let page = try await snapshot.nextPage()
                #expect(page == nil)
            }
            try await storage.ping()
            #expect(storage.statistics.pullsOpen == 0 && storage.statistics.pullsWaiting == 0)
        }
    }

    @Test("A pull that waits for its turn leaves when it is cancelled")
    func cancelledPull() async throws {
        // Longer than this test may take.
        try await PostgresTestStorage.withPostgres(poolSize: 3, waitLimit: .seconds(600)) { test in
            let space = try await test.makeSpace()
            let storage = test.storage
            try await storage.withPull(of: space, since: 0) { _ in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        await #expect(throws: StorageError.unavailable) { _ = try await storage.collectPull(of: space) }
                    }
                    try await test.waitUntil { $0.pullsWaiting == 1 }
                    group.cancelAll()
                    try await group.waitForAll()
                }
                #expect(storage.statistics.pullsWaiting == 0)
            }
            let pull = try await storage.collectPull(of: space)
            #expect(pull.entries.isEmpty)
            #expect(storage.statistics.pullsOpen == 0)
        }
    }

    @Test("A call that waits for a connection leaves when it is cancelled, also before it has begun to wait")
    func cancelledCall() async throws {
        try await PostgresTestStorage.withPostgres(poolSize: 1, waitLimit: .seconds(600)) { test in
            let space = try await test.makeSpace()
            let storage = test.storage
            try await storage.withPull(of: space, since: 0) { _ in
                for yields in 0..<20 {
                    await withTaskGroup { group in
                        group.addTask {
                            await #expect(throws: StorageError.unavailable) { try await storage.ping() }
                        }
                        for _ in 0..<yields { await Task.yield() }
                        group.cancelAll()
                    }
                }
            }
            try await storage.ping()
        }
    }

    @Test("CO13: a push whose caller is cancelled while it waits for a connection is written, with those it leads")
    func cancelledPush() async throws {
        try await PostgresTestStorage.withPostgres(poolSize: 1) { test in
            let space = try await test.makeSpace()
            let storage = test.storage
            try await withThrowingTaskGroup(of: Int64?.self) { group in
                try await storage.withPull(of: space, since: 0) { _ in
                    for number in 1...3 {
                        group.addTask { try await storage.push([.fixture(number)], to: space).cursor }
                        try await test.waitUntil { $0.pushesQueued == number }
                    }
                    group.cancelAll()
                }
                let cursors = try await group.reduce(into: []) { $0.append($1) }
                #expect(cursors.compactMap(\.self).sorted() == [1, 2, 3])
            }
        }
    }

    @Test("PL12: with one connection, the next call after a pull left early gets a connection")
    func leftEarly() async throws {
        try await PostgresTestStorage.withPostgres(poolSize: 1) { test in
            let storage = test.storage
            let space = try await test.makeSpace()
            _ = try await storage.push((1...500).map { .fixture($0, String(repeating: "x", count: 5_000)) }, to: space)
            for _ in 1...3 {
                let page = try await storage.withPull(of: space, since: 0) { try await $0.nextPage() }
                #expect((1...64).contains(page?.count ?? 0))
                try await storage.ping()
            }
        }
    }

    @Test("A connection that was lost while idle is not used again")
    func lostWhileIdle() async throws {
        try await PostgresTestStorage.withPostgres { test in
            let space = try await test.makeSpace()
            try await test.breakOpenPulls()
            // The server's end has been read, or the call fails and the next finds it out.
            var failures = 0
            while failures < 5 {
                do throws(StorageError) {
                    try await test.storage.ping()
                    break
                } catch {
                    #expect(error == .unavailable)
                    failures += 1
                }
            }
            #expect(failures < 5)
            #expect(try await test.storage.push([.fixture(1)], to: space).cursor == 1)
        }
    }

    @Test("Opening without migrating refuses an old schema and takes one that is up to date")
    func withoutMigrating() async throws {
        try await PostgresTestStorage.withSchema { url in
            let configuration = PostgresConfiguration(url: url, poolSize: 3, migrates: false)
            await #expect(
                throws: StorageError.migration(
                    detail: "the database is at version 0, not \(PostgresMigrator.latestVersion); run less-sync migrate"
                )
            ) {
                try await PostgresTestStorage.with(configuration) { _ in }
            }
            try await PostgresTestStorage.with(PostgresConfiguration(url: url, poolSize: 3)) { test in
                _ = try await test.makeSpace()
            }
            try await PostgresTestStorage.with(configuration) { test in
                let space = try await test.makeSpace()
                #expect(try await test.storage.push([.fixture(1)], to: space).cursor == 1)
            }
        }
    }

    @Test("MG7: servers that start together all come up")
    func startTogether() async throws {
        try await PostgresTestStorage.withSchema { url in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<6 {
                    group.addTask {
                        // The later ones find the schema made, and replace the function at the same time.
                        if index == 0 {
                            try await PostgresTestStorage.with(PostgresConfiguration(url: url, poolSize: 3)) { _ in }
                        }
                        try await PostgresTestStorage.with(PostgresConfiguration(url: url, poolSize: 3)) { test in
                            _ = try await test.storage.ping()
                        }
                    }
                }
                try await group.waitForAll()
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<6 {
                    group.addTask {
                        let configuration = PostgresConfiguration(url: url, poolSize: 3, migrates: false)
                        try await PostgresTestStorage.with(configuration) { try await $0.storage.ping() }
                    }
                }
                try await group.waitForAll()
            }
        }
    }

    @Test("After closing, every call is unavailable at once")
    func closed() async throws {
        try await PostgresTestStorage.withPostgres { test in
            let storage = test.storage
            let space = try await test.makeSpace()
            await storage.close()
            await storage.close()
            await #expect(throws: StorageError.unavailable) { _ = try await storage.space(space) }
            await #expect(throws: StorageError.unavailable) { _ = try await storage.push([.fixture(1)], to: space) }
            await #expect(throws: StorageError.unavailable) {
                try await storage.withPull(of: space, since: 0) { _ in }
            }
        }
    }
}
