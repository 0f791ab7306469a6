import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncStoragePostgres

/// File locks between server processes on one database (docs/contract/storage.md §6.5).
@Suite("File locks on PostgreSQL", .timeLimit(.minutes(5)))
struct FileLockTests {
    /// Two storages on one schema, as in two processes.
    private func withTwo(_ body: (PostgresTestStorage, PostgresTestStorage) async throws -> Void) async throws {
        try await PostgresTestStorage.withSchema { url in
            let configuration = PostgresConfiguration(url: url, poolSize: 4)
            try await PostgresTestStorage.with(configuration) { one in
                try await PostgresTestStorage.with(configuration) { try await body(one, $0) }
            }
        }
    }

    @Test("One process holds the lock of a file, the other one waits for it")
    func exclusion() async throws {
        try await self.withTwo { one, two in
            let (file, space) = (FileID.random(), SpaceID.random())
            let events = EventLog<String>()
            try await withThrowingTaskGroup(of: Void.self) { group in
                try await one.storage.withFileLock(file, in: space) {
                    group.addTask {
                        try await two.storage.withFileLock(file, in: space) {
                            events.append("second")
                        }
                    }
                    // Another file is free meanwhile, and so is this one in another space.
                    try await two.storage.withFileLock(.random(), in: space) {}
                    try await two.storage.withFileLock(file, in: .random()) {}
                    for _ in 0..<50 { try await two.storage.ping() }
                    events.append("first")
                }
                try await group.waitForAll()
            }
            #expect(events.all == ["first", "second"])
        }
    }

    @Test("A lock that another process does not give back in time is not to be had")
    func timeLimit() async throws {
        try await self.withTwo { one, _ in
            let thread = try #require(EventThread())
            defer { thread.stop() }
            var configuration = PostgresConfiguration(url: one.url)
            configuration.waitLimit = .seconds(2)
            let impatient = PostgresFileLocks(configuration, thread: thread, logger: SchemaUnderTest.logger)
            defer { impatient.close() }
            // On a busy machine it may not have connected in time.
            while (try? await impatient.withLock(FileKey(space: .random(), file: .random())) { true }) == nil {}
            let key = FileKey(space: .random(), file: .random())
            let error: StorageError? = try await one.storage.withFileLock(key.file, in: key.space) {
                do {
                    try await impatient.withLock(key) { _ = Issue.record("It is held by two.") }
                    return nil
                } catch let error as StorageError {
                    return error
                }
            }
            #expect(error == .unavailable)
            #expect(try await impatient.withLock(key) { 7 } == 7)
        }
    }

    @Test("Who is cancelled while another process holds the lock gives up")
    func cancelled() async throws {
        try await self.withTwo { one, two in
            let (file, space) = (FileID.random(), SpaceID.random())
            let result: Result<Void, any Error> = try await one.storage.withFileLock(file, in: space) {
                let waiter = Task {
                    try await two.storage.withFileLock(file, in: space) { _ = Issue.record("It is held by two.") }
                }
                try await two.storage.ping()
                waiter.cancel()
                return await waiter.result
            }
            #expect(throws: StorageError.unavailable) { try result.get() }
        }
    }

    @Test("However many wait for a PostgreSQL that says nothing, none waits longer than its limit")
    func silence() async throws {
        try await Self.withoutAnswers(waitLimit: .seconds(2)) { locks in
            let begin = ContinuousClock.now
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        await #expect(throws: StorageError.unavailable) {
                            try await locks.withLock(FileKey(space: .random(), file: .random())) {}
                        }
                    }
                }
                try await group.waitForAll()
            }
            // One after the other they would take 16.
            #expect(ContinuousClock.now - begin < .seconds(10))
        }
    }

    @Test("Who is cancelled gives up at once, whether it connects or waits for another one that does")
    func cancelledWhileConnecting() async throws {
        try await Self.withoutAnswers(waitLimit: .seconds(120)) { locks in
            let begin = ContinuousClock.now
            let waiters = (0..<4).map { _ in
                Task { try await locks.withLock(FileKey(space: .random(), file: .random())) {} }
            }
            for waiter in waiters { waiter.cancel() }
            for waiter in waiters {
                await #expect(throws: StorageError.unavailable) { try await waiter.value }
            }
            #expect(ContinuousClock.now - begin < .seconds(60))
        }
    }

    @Test("After a failure to connect others are refused at once for a while")
    func backoff() async throws {
        let recorder = LogRecorder()
        let thread = try #require(EventThread())
        defer { thread.stop() }
        let configuration = PostgresConfiguration(url: "postgres://127.0.0.1:1/db")
        let locks = PostgresFileLocks(configuration, thread: thread, logger: recorder.logger)
        defer { locks.close() }
        for _ in 0..<100 {
            await #expect(throws: StorageError.unavailable) {
                try await locks.withLock(FileKey(space: .random(), file: .random())) {}
            }
        }
        #expect(recorder.messages.count >= 1 && recorder.messages.count < 50)
    }

    /// Runs `body` with locks on a server that takes connections and says nothing.
    private static func withoutAnswers(
        waitLimit: Duration, _ body: (PostgresFileLocks) async throws -> Void
    ) async throws {
        let listener = try SilentListener()
        defer { listener.close() }
        let thread = try #require(EventThread())
        defer { thread.stop() }
        var configuration = PostgresConfiguration(url: "postgres://127.0.0.1:\(listener.port)/db")
        configuration.waitLimit = waitLimit
        let locks = PostgresFileLocks(configuration, thread: thread, logger: SchemaUnderTest.logger)
        defer { locks.close() }
        try await body(locks)
    }

    @Test("A connection that is lost takes its locks with it; the next lock has a new one")
    func lostConnection() async throws {
        try await self.withTwo { one, two in
            let (file, space) = (FileID.random(), SpaceID.random())
            try await one.storage.withFileLock(file, in: space) {
                // Every connection of the storage, that of its locks among them.
                try await one.breakOpenPulls()
                try await two.storage.withFileLock(file, in: space) {}
            }
            #expect(try await one.storage.withFileLock(file, in: space) { 7 } == 7)
        }
    }

    @Test("Ten processes' worth of uploads of one file: one cursor, one row")
    func uploads() async throws {
        try await self.withTwo { one, two in
            let space = try await one.makeSpace()
            _ = try await one.storage.push([.fixture(1)], to: space)
            let file = NewFile(
                space: space, id: .random(), recordID: .fixture(1), size: 5, wrappedDEK: .wrappedDEK())
            let published = EventLog<Int>()
            let cursors = try await withThrowingTaskGroup(of: Int64?.self) { group in
                for number in 0..<10 {
                    let storage = number % 2 == 0 ? one.storage : two.storage
                    group.addTask {
                        try await storage.withFileLock(file.id, in: space) {
                            guard try await !storage.fileExists(file.id, in: space) else { return nil }
                            published.append(number)
                            return try await storage.recordFile(file)
                        }
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(cursors.compactMap { $0 } == [2] && published.all.count == 1)
        }
    }
}
