import Foundation
import NIOCore
import NIOHTTP1
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncServer

/// The kinds of blob store that one suite runs on: `@Test(arguments: TestBlobStore.available)`.
enum TestBlobStore: String, CaseIterable, CustomTestStringConvertible {
    case local
    case s3

    var testDescription: String { self.rawValue }

    static let available = TestBlobStore.allCases.filter { $0 == .local || ObjectStoreServer.isWanted }

    /// Bytes of one object in tests.
    static let fileBytesMax: Int64 = 12 * 1_024 * 1_024

    /// Gives `body` an empty store that nobody else uses.
    func withStore(_ body: (any BlobStore) async throws -> Void) async throws {
        switch self {
        case .local:
            try await TemporaryDirectory.with { directory in
                let store = LocalBlobStore(root: directory + "/files", fileBytesMax: Self.fileBytesMax)
                try await store.prepare()
                try await body(store)
            }
        case .s3:
            try await TestBucket.with { bucket in try await bucket.withStore { store in try await body(store) } }
        }
    }
}

/// A bucket of one test.
struct TestBucket {
    var variables: S3Variables

    static func with(
        _ server: ObjectStoreServer? = nil, _ body: (TestBucket) async throws -> Void
    ) async throws {
        let server = if let server { server } else { try await ObjectStoreServer.sharedServer() }
        var variables = S3Variables()
        variables.endpoint = server.endpoint
        variables.accessKey = Secret(ObjectStoreServer.accessKey)
        variables.secretKey = Secret(ObjectStoreServer.secretKey)
        variables.bucket = "test-" + UUID().uuidString.lowercased()
        let bucket = TestBucket(variables: variables)
        try await bucket.withClient { client in
            // A server that has just started answers with 500 until it knows where to write.
            let answer = try await client.send(S3Client.Request(method: .PUT))
            try #require(answer.status == .ok)
        }
        try await body(bucket)
    }

    func withClient(_ body: (S3Client) async throws -> Void) async throws {
        let client = S3Client(self.variables)
        do { try await body(client) } catch {
            await client.close()
            throw error
        }
        await client.close()
    }

    func withStore(_ body: (S3BlobStore) async throws -> Void) async throws {
        try await self.withClient { client in
            try await body(S3BlobStore(client: client, fileBytesMax: TestBlobStore.fileBytesMax))
        }
    }
}

/// A directory of one test.
enum TemporaryDirectory {
    static func with(_ body: (String) async throws -> Void) async throws {
        let path = NSTemporaryDirectory() + "less-sync-blobs-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: path) }
        try await body(path)
    }

    /// Paths of all files below `path`, relative to it and sorted.
    static func files(below path: String) -> [String] {
        let names = FileManager.default.enumerator(atPath: path)?.compactMap { $0 as? String } ?? []
        return names.filter { name in
            var isDirectory: ObjCBool = false
            return FileManager.default.fileExists(atPath: "\(path)/\(name)", isDirectory: &isDirectory)
                && !isDirectory.boolValue
        }.sorted()
    }
}

extension FileKey {
    static func random() -> FileKey { FileKey(space: .random(), file: .random()) }
}

/// Bytes whose order shows: a repeating pattern with a prime period.
func patternedBytes(_ count: Int, seed: Int = 0) -> ByteBuffer {
    let period = ByteBuffer(bytes: (0..<251).map { UInt8(($0 + seed) % 251) })
    var bytes = ByteBuffer()
    bytes.reserveCapacity(count + 251)
    while bytes.readableBytes < count { bytes.writeImmutableBuffer(period) }
    bytes.moveWriterIndex(to: count)
    return bytes
}

/// `bytes` in pieces of at most `size`, and then, if there is one, `failure`.
struct Pieces: AsyncSequence {
    var bytes: ByteBuffer
    var size = 65_536
    var failure: (any Error)?

    struct AsyncIterator: AsyncIteratorProtocol {
        var pieces: Pieces

        mutating func next() async throws -> ByteBuffer? {
            let count = Swift.min(self.pieces.size, self.pieces.bytes.readableBytes)
            if count > 0 { return self.pieces.bytes.readSlice(length: count) }
            if let failure = self.pieces.failure { throw failure }
            return nil
        }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(pieces: self) }
}

struct SourceFailure: Error, Equatable {}

extension BlobStore {
    @discardableResult
    func put(_ key: FileKey, _ bytes: ByteBuffer, _ publication: BlobPublication = .ifAbsent) async throws -> Bool {
        try await self.put(
            key, length: Int64(bytes.readableBytes), body: Pieces(bytes: bytes), publication: publication)
    }

    func bytes(of key: FileKey, range: Range<Int64>? = nil) async throws -> ByteBuffer {
        var bytes = ByteBuffer()
        for try await var chunk in try await self.open(key, range: range).body { bytes.writeBuffer(&chunk) }
        return bytes
    }

    func allEntries() async throws -> [BlobEntry] {
        var listing = self.list()
        var entries: [BlobEntry] = []
        while true {
            let page = try await listing.next()
            guard !page.isEmpty else { return entries }
            entries += page
        }
    }
}
