import Foundation
import Logging
import NIOCore
import SyncAuth
import SyncProtocol
import SyncServer
import SyncStorage
import SyncTesting
import Synchronization
import Testing

/// What is left when an upload or a download does not come to its end.
@Suite("Failures of files", .timeLimit(.minutes(5)))
struct FileFailureTests {
    @Test(
        "HL21: a file that could not be recorded is 500 and leaves nothing; the retry is 201",
        arguments: FileSetting.all)
    func notRecorded(_ setting: FileSetting) async throws {
        try await setting.withServer { _ in
        } _: { server, database in
            try await server.withRecord { files, _ in
                let file = FileID.random()
                try await database.withFileRowsRefused {
                    let failed = try await files.put(file, ByteBuffer(string: "lost"))
                    #expect(failed.status == 500)
                    #expect(failed.message == "internal error")
                    #expect(try await server.objects.isEmpty)
                }
                #expect(try await files.get(file).status == 404)
                #expect(try await files.put(file, ByteBuffer(string: "kept")).status == 201)
                #expect(try await files.get(file).text == "kept")
            }
        }
    }

    @Test("Δ-H5: an object without a row is replaced", arguments: FileSetting.all)
    func orphan(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            try await server.withRecord { files, _ in
                let file = FileID.random()
                try await server.plant(ByteBuffer(string: "x"), as: file, of: files.space)
                #expect(try await server.objects == [FileServer.object(file, of: files.space)])
                #expect(try await files.get(file).status == 404)
                #expect(try await files.put(file, ByteBuffer(string: "whole")).status == 201)
                #expect(try await files.get(file).text == "whole")
            }
        }
    }

    @Test("HL23: a client that goes away in mid-body leaves nothing; the retry is 201", arguments: FileSetting.all)
    func disconnect(_ setting: FileSetting) async throws {
        try await setting.withServer(fileBytesMax: 8_388_608) { server in
            try await server.withRecord { files, _ in
                let file = FileID.random()
                let bytes = ByteBuffer.pattern(7_000_000)
                // The last is more than one part of a bucket.
                for count in [1_000, 600_000, 6_000_000] {
                    let socket = try await HTTPSocket.connect(port: files.port)
                    try await socket.sendHead("PUT", files.path(file), files.uploadHeaders(7_000_000))
                    try await socket.send(#require(bytes.getSlice(at: 0, length: count)))
                    try await eventually("the upload is under way") {
                        guard count == 6_000_000 else { return server.inTheMaking == 1 }
                        return try await !server.objects.isEmpty
                    }
                    await socket.close()
                    try await eventually("nothing is left") {
                        guard server.inTheMaking == 0 else { return false }
                        return try await server.objects.isEmpty
                    }
                    #expect(try await files.get(file).status == 404)
                }
                #expect(try await files.put(file, bytes).status == 201)
                #expect(try await files.get(file).body == bytes)
                #expect(try await server.objects == [FileServer.object(file, of: files.space)])
            }
        }
    }

    @Test("an object of another length than its row is 500 and no byte", arguments: FileSetting.all)
    func wrongLength(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            try await server.withRecord { files, _ in
                let file = FileID.random()
                try await files.put(file, ByteBuffer(string: "hello"))
                try await server.plant(ByteBuffer(string: "hell"), as: file, of: files.space)
                for range in ["bytes=0-", "bytes=0-1"] {
                    let answer = try await files.get(file, ("Range", range))
                    #expect(answer.status == 500)
                    #expect(answer.message == "internal error")
                }
            }
        }
    }

    @Test(
        "a store that fails is 500 at once, and in mid-body the connection ends early", arguments: TestBackend.available
    )
    func failingStore(on backend: TestBackend) async throws {
        let setting = FileSetting(backend: backend, store: .local)
        let store = FailingBlobStore()
        try await setting.withServer {
            $0.parts.files = OpenedFileStorage(
                store: store,
                uploads: PartialUploads(
                    directory: NSTemporaryDirectory() + "less-sync-none", limits: UploadLimits(fileBytesMax: 1_000_000))
            )
        } _: { server, database in
            try await server.withRecord { files, _ in
                let file = FileID.random()
                for step in FailingBlobStore.Step.allCases {
                    store.failing.withLock { $0 = step }
                    let stored = try await files.put(file, .pattern(1_000))
                    #expect(stored.status == (step == .read || step == .open ? (step == .open ? 201 : 204) : 500))
                }
                store.failing.withLock { $0 = .open }
                let refused = try await files.get(file)
                #expect(refused.status == 500)
                #expect(refused.message == "internal error")

                store.failing.withLock { $0 = .read }
                let socket = try await HTTPSocket.connect(port: files.port)
                try await socket.sendHead("GET", files.path(file), files.credentials)
                let partial = await socket.end()
                #expect(String(buffer: partial).hasPrefix("HTTP/1.1 200 OK\r\n"))
                #expect(!HTTPAnswer.isComplete(partial, "GET"))
                await socket.close()
            }
        }
    }

    private static let mistakes: [(@Sendable (inout S3Variables) -> Void, String)] = [
        ({ $0.endpoint = "http://127.0.0.1:1" }, "PUT: "),
        ({ $0.bucket = "missing" }, "PUT was answered with 404 NoSuchBucket"),
        ({ $0.secretKey = SyncServer.Secret("wrong") }, "PUT was answered with 403 SignatureDoesNotMatch"),
    ]

    @Test(
        "BL7: a bucket that cannot be used is 500 at the first request, named in the log, and no file",
        .enabled(if: TestFileStore.available.contains(.s3)), arguments: TestBackend.available)
    func misconfigured(on backend: TestBackend) async throws {
        for (change, problem) in Self.mistakes {
            let log = LogRecorder()
            try await FileSetting(backend: backend, store: .s3).withServer {
                change(&$0.configuration.s3)
                $0.logger = log.logger(.error)
            } _: { server, database in
                try await server.withRecord { files, _ in
                    let file = FileID.random()
                    let stored = try await files.put(file, ByteBuffer(string: "x"))
                    #expect(stored.status == 500)
                    #expect(stored.message == "internal error")
                    #expect(try await files.get(file).status == 404)
                    #expect(try await database.execute("SELECT size FROM files").isEmpty)
                    #expect(try await server.objects.isEmpty)
                    #expect(log.lines.contains { $0.contains(problem) }, "\(log.lines)")
                }
            }
        }
    }
}

extension TestDatabaseURL {
    /// Keeps the database from taking any row of `files` while `body` runs.
    func withFileRowsRefused(_ body: () async throws -> Void) async throws {
        switch self.backend {
        case .sqlite:
            try await self.execute(
                "CREATE TRIGGER refused BEFORE INSERT ON files BEGIN SELECT RAISE(ABORT, 'refused'); END")
        case .postgres:
            try await self.execute("ALTER TABLE files ADD CONSTRAINT refused CHECK (size < 0) NOT VALID")
        }
        let result: Result<Void, any Error>
        do { result = .success(try await body()) } catch { result = .failure(error) }
        switch self.backend {
        case .sqlite: try await self.execute("DROP TRIGGER refused")
        case .postgres: try await self.execute("ALTER TABLE files DROP CONSTRAINT refused")
        }
        try result.get()
    }
}

/// Keeps one object in memory, and fails at the step that a test names.
final class FailingBlobStore: BlobStore {
    enum Step: CaseIterable { case begin, append, finish, publish, open, read }

    let failing = Mutex<Step?>(nil)
    private let object = Mutex(ByteBuffer())

    func check(_ step: Step) throws(BlobError) {
        if self.failing.withLock({ $0 == step }) { throw .unavailable(detail: "\(step)") }
    }

    func prepare() async throws(BlobError) {}

    func removeUnfinished(before date: Date) async throws(BlobError) {}

    func begin(_ key: FileKey, length: Int64) async throws(BlobError) -> any BlobWriter {
        try self.check(.begin)
        return Writer(store: self)
    }

    func begin(_ key: FileKey, fromFile path: String, length: Int64) async throws(BlobError) -> any BlobWriter {
        try await self.begin(key, length: length)
    }

    func open(_ key: FileKey, range: Range<Int64>?) async throws(BlobError) -> BlobContent {
        try self.check(.open)
        let bytes = self.object.withLock { $0 }
        return BlobContent(
            length: Int64(bytes.readableBytes),
            body: Halves(bytes: bytes, fails: self.failing.withLock { $0 == .read }))
    }

    func length(of key: FileKey) async throws(BlobError) -> Int64? { nil }

    func delete(_ key: FileKey) async throws(BlobError) {}

    func list() -> any BlobListing { Nothing() }

    func close() async {}

    private struct Nothing: BlobListing {
        mutating func next() async throws(BlobError) -> [BlobEntry] { [] }
    }

    private final class Writer: BlobWriter {
        let store: FailingBlobStore
        private let bytes = Mutex(ByteBuffer())

        init(store: FailingBlobStore) { self.store = store }

        func append(_ bytes: ByteBuffer) async throws(BlobError) {
            try self.store.check(.append)
            self.bytes.withLock { _ = $0.writeImmutableBuffer(bytes) }
        }

        func finish() async throws(BlobError) { try self.store.check(.finish) }

        func publish(_ publication: BlobPublication) async throws(BlobError) -> Bool {
            try self.store.check(.publish)
            self.store.object.withLock { $0 = self.bytes.withLock { $0 } }
            return true
        }

        func abandon() async {}
    }

    /// Fails after the first half.
    private struct Halves: AsyncSequence {
        typealias Element = ByteBuffer
        typealias Failure = BlobError
        var bytes: ByteBuffer
        var fails: Bool

        struct AsyncIterator: AsyncIteratorProtocol {
            var body: Halves
            var hasStarted = false

            mutating func next() async throws(BlobError) -> ByteBuffer? { try await self.next(isolation: nil) }

            mutating func next(isolation: isolated (any Actor)?) async throws(BlobError) -> ByteBuffer? {
                if self.hasStarted, self.body.fails { throw .failed(detail: "in the middle") }
                self.hasStarted = true
                let count = self.body.fails ? self.body.bytes.readableBytes / 2 : self.body.bytes.readableBytes
                return count == 0 ? nil : self.body.bytes.readSlice(length: count)
            }
        }

        func makeAsyncIterator() -> AsyncIterator { AsyncIterator(body: self) }
    }
}
