import Foundation
import NIOCore
import NIOHTTP1
import SyncStorage
import SyncTesting
import Synchronization

@testable import SyncServer

/// Where files are kept in a test.
enum TestFileStore: String, CaseIterable, Sendable {
    case local
    case s3

    static let available = TestFileStore.allCases.filter { $0 == .local || ObjectStoreServer.isWanted }

    /// Gives `body` an empty store that nobody else uses.
    func with(fileBytesMax: Int, _ body: (TestFileLocation) async throws -> Void) async throws {
        try await withTemporaryDirectory { directory in
            var configuration = ServerConfiguration()
            configuration.fileBytesMax = fileBytesMax
            configuration.fileStoragePath = directory + "/files"
            configuration.fileStorage = .local
            if self == .s3 {
                let server = try await ObjectStoreServer.sharedServer()
                configuration.fileStorage = .s3
                configuration.s3.endpoint = server.endpoint
                configuration.s3.accessKey = SyncServer.Secret(ObjectStoreServer.accessKey)
                configuration.s3.secretKey = SyncServer.Secret(ObjectStoreServer.secretKey)
                configuration.s3.bucket = "test-" + UUID().uuidString.lowercased()
            }
            let location = TestFileLocation(configuration)
            let result: Result<Void, any Error>
            do {
                try await location.prepare()
                result = .success(try await body(location))
            } catch {
                result = .failure(error)
            }
            await location.close()
            try result.get()
        }
    }
}

/// The files of one test. They outlive the servers on them.
struct TestFileLocation: Sendable {
    /// Of the files alone.
    let configuration: ServerConfiguration
    /// To look at the same objects as the servers, and to change them.
    let store: any BlobStore
    private let bucket: S3Client?

    init(_ configuration: ServerConfiguration) {
        self.configuration = configuration
        let fileBytesMax = Int64(configuration.fileBytesMax)
        if configuration.fileStorage == .s3 {
            let client = S3Client(configuration.s3)
            self.bucket = client
            self.store = S3BlobStore(client: client, fileBytesMax: fileBytesMax)
        } else {
            self.bucket = nil
            self.store = LocalBlobStore(root: configuration.fileStoragePath, fileBytesMax: fileBytesMax)
        }
    }

    fileprivate func prepare() async throws {
        try await self.store.prepare()
        guard let bucket = self.bucket else { return }
        let answer = try await bucket.send(S3Client.Request(method: .PUT))
        guard answer.status == .ok else { throw ConditionNotMet(what: "a bucket: \(answer)") }
    }

    fileprivate func close() async { await self.store.close() }

    func configure(_ configuration: inout ServerConfiguration) {
        configuration.fileBytesMax = self.configuration.fileBytesMax
        configuration.fileStorage = self.configuration.fileStorage
        configuration.fileStoragePath = self.configuration.fileStoragePath
        configuration.s3 = self.configuration.s3
    }

    func withServer(
        on database: TestDatabaseURL, _ change: (inout InProcessServer) -> Void = { _ in },
        _ body: (FileServer) async throws -> Void
    ) async throws {
        var server = try InProcessServer(database) { self.configure(&$0) }
        change(&server)
        let watch = WatchedBlobStore.Watch()
        if server.parts.files == nil, let opened = try await OpenedFileStorage.open(server.configuration) {
            server.parts.files = OpenedFileStorage(
                store: WatchedBlobStore(base: opened.store, watch: watch), uploads: opened.uploads)
        }
        try await server.run { try await body(FileServer(server: $0, location: self, watch: watch)) }
    }

    /// Paths of all files and objects, sorted; those in the making included.
    var objects: [String] {
        get async throws {
            let root = self.configuration.fileStoragePath
            let names = FileManager.default.enumerator(atPath: root)?.compactMap { $0 as? String } ?? []
            let files = names.filter { name in
                var isDirectory: ObjCBool = false
                let exists = FileManager.default.fileExists(atPath: "\(root)/\(name)", isDirectory: &isDirectory)
                return exists && !isDirectory.boolValue
            }
            return try await (files + self.bucketObjects()).sorted()
        }
    }

    /// Bytes of resumable uploads that have been written down.
    var unfinishedBytes: Int {
        get throws {
            let directory = self.configuration.fileStoragePath + "/uploads"
            let names = try FileManager.default.contentsOfDirectory(atPath: directory)
            // Beside each lie its offset and its ticket.
            return names.filter { !$0.contains(".") }.reduce(0) { sum, name in
                let attributes = try? FileManager.default.attributesOfItem(atPath: "\(directory)/\(name)")
                return sum + (attributes?[.size] as? Int ?? 0)
            }
        }
    }

    private func bucketObjects() async throws -> [String] {
        guard let bucket = self.bucket else { return [] }
        func keys(_ element: String, _ query: (String, String)) async throws -> [String] {
            let answer = try await bucket.send(S3Client.Request(method: .GET, query: [query]))
            guard answer.status == .ok else { throw ConditionNotMet(what: "a list of the bucket: \(answer)") }
            return S3Answer.elements(element, in: answer.text[...]).compactMap { S3Answer.text("Key", in: $0) }
        }
        return try await keys("Contents", ("list-type", "2"))
            + keys("Upload", ("uploads", "")).map { "unfinished " + $0 }
    }
}

/// A store that counts the objects which have been begun and not ended.
struct WatchedBlobStore: BlobStore {
    final class Watch: Sendable {
        private let count = Mutex(0)

        var inTheMaking: Int { self.count.withLock { $0 } }

        fileprivate func add(_ number: Int) { self.count.withLock { $0 += number } }
    }

    let base: any BlobStore
    let watch: Watch

    func prepare() async throws(BlobError) { try await self.base.prepare() }

    func removeUnfinished(before date: Date) async throws(BlobError) {
        try await self.base.removeUnfinished(before: date)
    }

    func begin(_ key: FileKey, length: Int64) async throws(BlobError) -> any BlobWriter {
        Writer(base: try await self.base.begin(key, length: length), watch: self.watch)
    }

    func begin(_ key: FileKey, fromFile path: String, length: Int64) async throws(BlobError) -> any BlobWriter {
        Writer(base: try await self.base.begin(key, fromFile: path, length: length), watch: self.watch)
    }

    func open(_ key: FileKey, range: Range<Int64>?) async throws(BlobError) -> BlobContent {
        try await self.base.open(key, range: range)
    }

    func length(of key: FileKey) async throws(BlobError) -> Int64? { try await self.base.length(of: key) }

    func delete(_ key: FileKey) async throws(BlobError) { try await self.base.delete(key) }

    func list() -> any BlobListing { self.base.list() }

    func close() async { await self.base.close() }

    private final class Writer: BlobWriter {
        private let base: any BlobWriter
        private let watch: Watch
        private let hasEnded = Mutex(false)

        init(base: any BlobWriter, watch: Watch) {
            self.base = base
            self.watch = watch
            watch.add(1)
        }

        func append(_ bytes: ByteBuffer) async throws(BlobError) { try await self.base.append(bytes) }

        func finish() async throws(BlobError) { try await self.base.finish() }

        func publish(_ publication: BlobPublication) async throws(BlobError) -> Bool {
            let isPublished = try await self.base.publish(publication)
            if isPublished { self.end() }
            return isPublished
        }

        func abandon() async {
            await self.base.abandon()
            self.end()
        }

        private func end() {
            let ends = self.hasEnded.withLock { hasEnded in
                defer { hasEnded = true }
                return !hasEnded
            }
            if ends { self.watch.add(-1) }
        }
    }
}
