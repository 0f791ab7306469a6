import Foundation
import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncServer

@Suite("Collection of files", .timeLimit(.minutes(5)))
struct FileCollectionTests {
    private func collection(_ opened: FileStorageFixture.Opened) -> FileCollection {
        FileCollection(storage: opened.storage, store: opened.store, logger: FileStorageFixture.silent)
    }

    private static var later: Date { Date().addingTimeInterval(3_600) }
    private static var earlier: Date { Date().addingTimeInterval(-3_600) }

    @Test(
        "Objects without rows and rows without objects are found and removed, and nothing else is",
        arguments: FileStorageFixture.available)
    func collecting(on fixture: FileStorageFixture) async throws {
        try await fixture.run { opened async throws in
            let kept = (0..<3).map { _ in opened.key() }
            for key in kept { try await opened.upload(key, patternedBytes(4)) }
            let orphans = [opened.key(), FileKey(space: .random(), file: .random())]
            for key in orphans { try await opened.store.put(key, patternedBytes(50)) }
            let missing = [opened.key(), opened.key()]
            for key in missing { try await opened.recordWithoutObject(key, size: 7) }
            let collection = self.collection(opened)

            var expected = FileCollectionReport()
            expected.rows = 5
            expected.objects = 5
            expected.objectsWithoutRows = .init(found: 2, bytes: 100)
            expected.rowsWithoutObjects = .init(found: 2, bytes: 14)
            expected.isDryRun = true
            #expect(try await collection.run(before: Self.later, isDryRun: true) == expected)
            for key in orphans { #expect(try await opened.hasObject(key)) }
            for key in missing { #expect(try await opened.hasRow(key)) }
            #expect(try await opened.storage.dueFileDeletions(limit: 1) == [])

            expected.isDryRun = false
            expected.objectsWithoutRows.reclaimed = 2
            expected.rowsWithoutObjects.reclaimed = 2
            #expect(try await collection.run(before: Self.later, isDryRun: false) == expected)
            for key in orphans + missing {
                #expect(try await !opened.hasObject(key))
                #expect(try await !opened.hasRow(key))
            }
            for key in kept { #expect(try await opened.isWhole(key)) }

            var clean = FileCollectionReport()
            clean.rows = 3
            clean.objects = 3
            #expect(try await collection.run(before: Self.later, isDryRun: false) == clean)
        }
    }

    @Test("A young object may be an upload that is not recorded yet", arguments: TestBlobStore.available)
    func young(in kind: TestBlobStore) async throws {
        try await FileStorageFixture(backend: .sqlite, kind: kind).run { opened async throws in
            let key = opened.key()
            try await opened.store.put(key, patternedBytes(5))
            let report = try await self.collection(opened).run(before: Self.earlier, isDryRun: false)
            #expect(report.youngObjects == 1)
            #expect(report.objectsWithoutRows == .init())
            #expect(try await opened.hasObject(key))
        }
    }

    @Test("An object of another length than its row says is counted, and left alone")
    func wrongLength() async throws {
        try await FileStorageFixture(backend: .sqlite, kind: .local).run { opened async throws in
            let key = opened.key()
            try await opened.recordWithoutObject(key, size: 9)
            try await opened.store.put(key, patternedBytes(5))
            let report = try await self.collection(opened).run(before: Self.later, isDryRun: false)
            #expect(report.wrongLengths == 1)
            #expect(try await opened.isWhole(key))
        }
    }

    @Test(
        "Rows are not removed because the file storage is another one, however few they are, unless that is wanted",
        arguments: [1, 2, 11])
    func wrongStore(count: Int) async throws {
        try await FileStorageFixture(backend: .sqlite, kind: .local).run { opened async throws in
            let keys = (0..<count).map { _ in opened.key() }
            for key in keys { try await opened.recordWithoutObject(key) }
            let error = FileCollectionError.wrongStore(missing: keys.count, rows: keys.count)
            await #expect(throws: error) {
                try await self.collection(opened).run(before: Self.later, isDryRun: false)
            }
            #expect("\(error)".contains("\(count) of \(count) recorded files have no object"))
            for key in keys { #expect(try await opened.hasRow(key)) }
            #expect(try await self.collection(opened).run(before: Self.later, isDryRun: true).rows == count)
            let report = try await self.collection(opened).run(before: Self.later, isDryRun: false, isForced: true)
            #expect(report.rowsWithoutObjects.reclaimed == count)
        }
    }

    @Test(
        "Objects are not removed because the database is another one, however few they are, unless that is wanted",
        arguments: [2, 11])
    func wrongDatabase(count: Int) async throws {
        try await FileStorageFixture(backend: .sqlite, kind: .local).run { opened async throws in
            let keys = (0..<count).map { _ in opened.key() }
            for key in keys { try await opened.store.put(key, patternedBytes(1)) }
            try await opened.upload(opened.key(), patternedBytes(1))
            let error = FileCollectionError.wrongDatabase(orphans: count, objects: count + 1)
            await #expect(throws: error) {
                try await self.collection(opened).run(before: Self.later, isDryRun: false)
            }
            #expect("\(error)".contains("\(count) of \(count + 1) objects have no row"))
            #expect(try await opened.store.allEntries().count == count + 1)
            let report = try await self.collection(opened).run(before: Self.later, isDryRun: false, isForced: true)
            #expect(report.objectsWithoutRows.reclaimed == count)
            #expect(try await opened.store.allEntries().count == 1)
        }
    }

    @Test("Half of the rows, and half of the objects that are old enough, are not most of them")
    func half() async throws {
        try await FileStorageFixture(backend: .sqlite, kind: .local).run { opened async throws in
            try await opened.upload(opened.key(), patternedBytes(1))
            try await opened.recordWithoutObject(opened.key())
            try await opened.store.put(opened.key(), patternedBytes(1))
            let report = try await self.collection(opened).run(before: Self.later, isDryRun: false)
            #expect(report.rowsWithoutObjects.reclaimed == 1)
            #expect(report.objectsWithoutRows.reclaimed == 1)
        }
    }

    @Test(
        "Rows that a wrong file storage cost leave the objects of the right one alone",
        arguments: FileStorageFixture.available)
    func rightStoreAfterwards(on fixture: FileStorageFixture) async throws {
        try await fixture.run { opened async throws in
            let key = opened.key()
            try await opened.upload(key, patternedBytes(5))
            try await TemporaryDirectory.with { directory in
                let other = LocalBlobStore(root: directory, fileBytesMax: 1_000)
                let report = try await FileCollection(
                    storage: opened.storage, store: other, logger: FileStorageFixture.silent
                ).run(before: Self.later, isDryRun: false, isForced: true)
                #expect(report.rowsWithoutObjects.reclaimed == 1)
            }
            let worker = FileDeletionWorker(
                storage: opened.storage, store: opened.store, logger: FileStorageFixture.silent)
            #expect(try await worker.run() == FileDeletionOutcome())
            #expect(try await opened.hasObject(key))
            // Whoever uploads it again finds a clean slate.
            #expect(try await opened.upload(key, patternedBytes(5)))
            #expect(try await opened.isWhole(key))
        }
    }

    // MARK: Command

    @Test(
        "gc refuses a directory that is not there, or is not that of a store, and makes nothing",
        arguments: [true, false])
    func wrongDirectory(exists: Bool) async throws {
        try await self.withFiles { environment, opened, _ async throws in
            let path = try #require(environment["FILE_STORAGE_PATH"]) + "-typo"
            if exists { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
            var options = FilesCommand.Options()
            options.isForced = true
            let reason = exists ? "not a file storage, it has neither spaces/ nor temporary/" : "no such directory"
            await #expect(
                throws: BlobError.failed(detail: "FILE_STORAGE_PATH \(ConfigurationError.quoted(path)): \(reason)")
            ) {
                try await FilesCommand(environment: environment.merging(["FILE_STORAGE_PATH": path]) { $1 })
                    .lines(options)
            }
            #expect(FileManager.default.fileExists(atPath: path) == exists)
            #expect(TemporaryDirectory.files(below: path) == [])
            #expect(try await opened.storage.files(after: nil, limit: 9).count == 2)
        }
    }

    /// A database with one recorded file, one object without a row and one row without an object.
    private func withFiles(
        _ body: (_ environment: [String: String], _ opened: FileStorageFixture.Opened, SQLiteTestStorage) async throws
            -> Void
    ) async throws {
        try await TemporaryDirectory.with { directory in
            let environment = [
                "DATABASE_URL": "sqlite:\(directory)/test.db", "FILE_STORAGE_BACKEND": "local",
                "FILE_STORAGE_PATH": "\(directory)/files",
            ]
            var configuration = ServerConfiguration()
            configuration.fileStorage = .local
            configuration.fileStoragePath = "\(directory)/files"
            let files = try #require(try await OpenedFileStorage.open(configuration))
            try await SQLiteTestStorage.with(path: "\(directory)/test.db") { test in
                let space = try await test.makeSpace()
                _ = try await test.storage.push([.fixture(1)], to: space)
                let opened = FileStorageFixture.Opened(test: test, store: files.store, space: space)
                try await opened.upload(opened.key(), patternedBytes(3))
                try await opened.store.put(opened.key(), patternedBytes(40))
                try await opened.recordWithoutObject(opened.key(), size: 7)
                try await body(environment, opened, test)
            }
        }
    }

    @Test("gc beside a server removes rows, and leaves objects to the server")
    func besideServer() async throws {
        try await self.withFiles { environment, opened, _ async throws in
            let command = FilesCommand(environment: environment)
            var options = FilesCommand.Options()
            options.isDryRun = true
            options.minimumAge = 0
            let now = Self.later
            #expect(
                try await command.lines(options, now: now) == [
                    "2 recorded files, 2 objects", "objects without a row: 1, 40 bytes; nothing removed",
                    "rows without an object: 1; nothing removed",
                ])
            options.isDryRun = false
            #expect(
                try await command.lines(options, now: now) == [
                    "2 recorded files, 2 objects",
                    "objects without a row: 1, 40 bytes; 0 removed, 1 left to the running server",
                    "rows without an object: 1; 1 removed",
                ])
            #expect(try await opened.store.allEntries().count == 2)
            let worker = FileDeletionWorker(
                storage: opened.storage, store: opened.store, logger: FileStorageFixture.silent)
            #expect(try await worker.run() == FileDeletionOutcome(objects: 1, bytes: 40))
            options.isJSON = true
            #expect(
                try await command.lines(options, now: now) == [
                    #"{"isDryRun":false,"objects":1,"objectsWithoutRows":{"bytes":0,"found":0,"queued":0,"reclaimed":0},"#
                        + #""rows":1,"rowsWithoutObjects":{"bytes":0,"found":0,"queued":0,"reclaimed":0},"#
                        + #""wrongLengths":0,"youngObjects":0}"#
                ])
        }
    }

    @Test("gc without a server removes both; young objects stay, and are mentioned")
    func alone() async throws {
        try await self.withFiles { environment, opened, test async throws in
            await test.storage.close()
            var options = FilesCommand.Options()
            #expect(
                try await FilesCommand(environment: environment).lines(options) == [
                    "2 recorded files, 2 objects", "objects without a row: 0, 0 bytes; 0 removed",
                    "rows without an object: 1; 1 removed", "objects too young to be judged: 1",
                ])
            options.minimumAge = 0
            #expect(
                try await FilesCommand(environment: environment).lines(options, now: Self.later) == [
                    "1 recorded files, 2 objects", "objects without a row: 1, 40 bytes; 1 removed",
                    "rows without an object: 0; 0 removed",
                ])
            #expect(try await opened.store.allEntries().count == 1)
        }
    }

    @Test("gc without file storage, or with wrong settings, exits with 1")
    func misconfigured() async throws {
        await #expect(
            throws: ConfigurationErrors(errors: [
                ConfigurationError("FILE_STORAGE_BACKEND", "FILE_STORAGE_BACKEND is none: there are no files")
            ])
        ) { try await FilesCommand(environment: [:]).lines(FilesCommand.Options()) }
        await #expect(
            throws: ConfigurationErrors(errors: [
                ConfigurationError(
                    "FILE_STORAGE_BACKEND", #"invalid FILE_STORAGE_BACKEND "gcs": expected "none", "local", or "s3""#)
            ])
        ) { try await FilesCommand(environment: ["FILE_STORAGE": "gcs"]).lines(FilesCommand.Options()) }
        #expect(await FilesCommand(environment: [:]).collect(FilesCommand.Options()) == ExitStatus.failure)
        let environment = ["FILE_STORAGE": "local", "DATABASE_URL": "sqlite:/dev/null/none.db"]
        #expect(await FilesCommand(environment: environment).collect(FilesCommand.Options()) == ExitStatus.failure)
    }
}
