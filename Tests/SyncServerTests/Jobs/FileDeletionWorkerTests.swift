import Foundation
import Logging
import MetricsTestKit
import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncServer

@Suite("Deletion of objects", .timeLimit(.minutes(5)))
struct FileDeletionWorkerTests {
    private func worker(
        _ opened: FileStorageFixture.Opened, store: (any BlobStore)? = nil, metrics: TestMetrics = TestMetrics()
    ) -> FileDeletionWorker {
        FileDeletionWorker(
            storage: opened.storage, store: store ?? opened.store, logger: FileStorageFixture.silent, metrics: metrics)
    }

    @Test(
        "OJ5, HL26: the object of a removed record's file is deleted, its bytes are counted, and the id is free again",
        arguments: FileStorageFixture.available)
    func deletion(on fixture: FileStorageFixture) async throws {
        try await fixture.run { opened async throws in
            let metrics = TestMetrics()
            let worker = self.worker(opened, metrics: metrics)
            let key = opened.key()
            let kept = opened.key()
            try await opened.upload(key, patternedBytes(70_000), of: 1)
            try await opened.upload(kept, patternedBytes(5), of: 2)
            #expect(try await worker.run() == FileDeletionOutcome())

            _ = try await opened.storage.push([.fixture(1, nil, at: 1)], to: opened.space)
            #expect(try await opened.hasObject(key))
            #expect(try await worker.run() == FileDeletionOutcome(objects: 1, bytes: 70_000))
            #expect(try await !opened.hasObject(key))
            #expect(try await opened.hasObject(kept))
            #expect(try await opened.storage.dueFileDeletions(limit: 1) == [])
            #expect(
                try metrics.expectCounter("file_bytes_total", [("direction", "reclaimed")]).totalValue == 70_000)

            #expect(try await opened.upload(key, patternedBytes(6), of: 3))
            #expect(try await worker.run() == FileDeletionOutcome())
            #expect(try await opened.store.bytes(of: key) == patternedBytes(6))
        }
    }

    @Test("CO16: what was uploaded again before its turn came is kept", arguments: FileStorageFixture.available)
    func uploadedAgain(on fixture: FileStorageFixture) async throws {
        try await fixture.run { opened async throws in
            let key = opened.key()
            try await opened.upload(key, patternedBytes(5))
            _ = try await opened.storage.deleteFiles(of: [.fixture(1)], in: opened.space)
            #expect(try await opened.upload(key, patternedBytes(6)))
            #expect(try await self.worker(opened).run() == FileDeletionOutcome())
            #expect(try await opened.store.length(of: key) == 6)
            #expect(try await opened.storage.dueFileDeletions(limit: 1) == [])
        }
    }

    @Test(
        "CO16: a deletion that races with a new upload leaves row and object, or neither",
        arguments: FileStorageFixture.available)
    func race(on fixture: FileStorageFixture) async throws {
        try await fixture.run { opened async throws in
            let worker = self.worker(opened)
            for round in 0..<15 {
                let key = opened.key()
                try await opened.upload(key, patternedBytes(5))
                _ = try await opened.storage.deleteFiles(of: [.fixture(1)], in: opened.space)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { _ = try await worker.run() }
                    group.addTask { _ = try await opened.upload(key, patternedBytes(6)) }
                    if round % 2 == 0 {
                        group.addTask { _ = try await opened.storage.deleteFiles(of: [.fixture(1)], in: opened.space) }
                    }
                    group.addTask { _ = try await worker.run() }
                    try await group.waitForAll()
                }
                _ = try await worker.run()
                #expect(try await opened.hasRow(key) == opened.hasObject(key))
                if round % 2 == 1 { #expect(try await opened.store.length(of: key) == 6) }
            }
            #expect(try await opened.storage.dueFileDeletions(limit: 1) == [])
        }
    }

    @Test("OJ5: what a failing store does not delete is tried again later", arguments: FileStorageFixture.available)
    func failingStore(on fixture: FileStorageFixture) async throws {
        try await fixture.run { opened async throws in
            try await TemporaryDirectory.with { directory in
                // A store that cannot be used: a file stands where its directory should be.
                let root = directory + "/files"
                try Data().write(to: URL(fileURLWithPath: root))
                let broken = LocalBlobStore(root: root, fileBytesMax: 10)
                let keys = [opened.key(), opened.key()]
                for (record, key) in zip(1..., keys) {
                    try await opened.upload(key, patternedBytes(5), of: record)
                    _ = try await opened.storage.push([.fixture(record, nil, at: 1)], to: opened.space)
                }
                #expect(
                    try await self.worker(opened, store: broken).run() == FileDeletionOutcome(failures: 2))
                #expect(try await opened.storage.dueFileDeletions(limit: 9) == [])
                #expect(try await self.worker(opened).run() == FileDeletionOutcome())
                for key in keys { #expect(try await opened.hasObject(key)) }

                // The time has come; a process that has just started has nothing but the queue.
                try await opened.test.execute("UPDATE file_deletions SET due_at = $1", [.moment(1)])
                #expect(try await opened.storage.dueFileDeletions(limit: 9).map(\.attempts) == [1, 1])
                #expect(try await self.worker(opened).run() == FileDeletionOutcome(objects: 2, bytes: 10))
                for key in keys { #expect(try await !opened.hasObject(key)) }
            }
        }
    }

    @Test("A queue of more than a page is worked through, and one object may be in it twice")
    func pages() async throws {
        try await FileStorageFixture(backend: .sqlite, kind: .local).run { opened async throws in
            let count = FileDeletionWorker.pageMax + 1
            for _ in 0..<count {
                let key = opened.key()
                try await opened.store.put(key, patternedBytes(1))
                for _ in 0..<2 { try await opened.storage.queueFileDeletion(key) }
            }
            #expect(try await self.worker(opened).run() == FileDeletionOutcome(objects: count, bytes: Int64(count)))
            #expect(try await opened.store.allEntries() == [])
            #expect(try await opened.storage.dueFileDeletions(limit: 1) == [])
        }
    }

    @Test("OJ5: the service works at its start, when it is woken, and every now and then")
    func service() async throws {
        try await FileStorageFixture(backend: .sqlite, kind: .local).run { opened async throws in
            let clock = TestClock()
            let service = FileDeletionService(
                self.worker(opened), interval: .seconds(10), clock: clock, logger: FileStorageFixture.silent)
            func queueObject() async throws -> FileKey {
                let key = opened.key()
                try await opened.store.put(key, patternedBytes(1))
                try await opened.storage.queueFileDeletion(key)
                return key
            }
            func waitUntilDeleted(_ key: FileKey) async throws {
                try await eventually("the file is deleted") { try await !opened.hasObject(key) }
            }
            let first = try await queueObject()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await service.run() }
                try await waitUntilDeleted(first)
                let second = try await queueObject()
                service.wake()
                try await waitUntilDeleted(second)
                let third = try await queueObject()
                await clock.waitForSleepers(1)
                #expect(try await opened.hasObject(third))
                clock.advance(by: .seconds(11))
                try await waitUntilDeleted(third)
                group.cancelAll()
            }
        }
    }

    @Test("OJ4: a run that fails is logged, and the next one comes")
    func failingDatabase() async throws {
        try await FileStorageFixture(backend: .sqlite, kind: .local).run { opened async throws in
            let log = EventLog<String>()
            let clock = TestClock()
            let service = FileDeletionService(
                self.worker(opened), interval: .seconds(10), clock: clock,
                logger: Logger(label: "test") { _ in MessageLog(events: log) })
            await opened.storage.close()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await service.run() }
                for count in 1...2 {
                    try await eventually("\(count) lines of the log") { log.all.count >= count }
                    await clock.waitForSleepers(1)
                    clock.advance(by: .seconds(11))
                }
                group.cancelAll()
            }
            #expect(log.all.allSatisfy { $0 == "job failed" })
        }
    }

    @Test("The time between attempts grows to ten minutes")
    func delays() {
        #expect(
            [0, 1, 2, 5, 6, 60].map { FileDeletionWorker.retryDelay(after: $0) }
                == [10, 20, 40, 320, 600, 600].map { .seconds($0) })
        #expect(FileDeletionWorker.retryDelay(after: -1) == .seconds(10))
    }
}

/// Keeps the messages of a log.
private struct MessageLog: LogHandler {
    let events: EventLog<String>
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.info

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    func log(event: LogEvent) { self.events.append("\(event.message)") }
}
