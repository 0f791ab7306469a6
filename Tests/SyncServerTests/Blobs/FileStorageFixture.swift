import Foundation
import Logging
import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncServer

/// A database and a blob store of one test: every pair of kinds.
struct FileStorageFixture: CustomTestStringConvertible, Sendable {
    let backend: TestBackend
    let kind: TestBlobStore

    static let available = TestBackend.available.flatMap { backend in
        TestBlobStore.available.map { FileStorageFixture(backend: backend, kind: $0) }
    }

    static let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    var testDescription: String { "\(self.backend.rawValue), \(self.kind.rawValue)" }

    /// Runs `body` with both, and a space that has the records 1 to 9.
    func run(_ body: (Opened) async throws -> Void) async throws {
        try await self.backend.withStorage { test in
            try await self.kind.withStore { store in
                let space = try await test.makeSpace()
                _ = try await test.storage.push((1...9).map { .fixture($0) }, to: space)
                try await body(Opened(test: test, store: store, space: space))
            }
        }
    }

    struct Opened: Sendable {
        let test: any TestStorage
        let store: any BlobStore
        let space: SpaceID

        var storage: any Storage { self.test.storage }

        func key() -> FileKey { FileKey(space: self.space, file: .random()) }

        /// What an upload does at its end.
        @discardableResult
        func upload(_ key: FileKey, _ bytes: ByteBuffer, of record: Int = 1) async throws -> Bool {
            let writer = try await self.store.begin(key, length: Int64(bytes.readableBytes))
            try await writer.append(bytes)
            try await writer.finish()
            let isNew = try await self.storage.withFileLock(key.file, in: key.space) {
                guard try await !self.storage.fileExists(key.file, in: key.space) else { return false }
                _ = try await writer.publish(.replacing)
                let file = NewFile(
                    space: key.space, id: key.file, recordID: .fixture(record), size: Int64(bytes.readableBytes),
                    wrappedDEK: .wrappedDEK())
                return try await self.storage.recordFile(file) != nil
            }
            await writer.abandon()
            return isNew
        }

        /// A row whose object is not there.
        func recordWithoutObject(_ key: FileKey, size: Int64 = 1) async throws {
            _ = try await self.storage.recordFile(
                NewFile(
                    space: key.space, id: key.file, recordID: .fixture(1), size: size, wrappedDEK: .wrappedDEK()))
        }

        func hasRow(_ key: FileKey) async throws -> Bool {
            try await self.storage.fileExists(key.file, in: key.space)
        }

        func isWhole(_ key: FileKey) async throws -> Bool {
            let hasRow = try await self.hasRow(key)
            let hasObject = try await self.hasObject(key)
            return hasRow && hasObject
        }

        func hasObject(_ key: FileKey) async throws -> Bool { try await self.store.length(of: key) != nil }
    }
}

/// Every sleep ends at once.
struct ImpatientClock: Clock {
    var now: ContinuousClock.Instant { ContinuousClock().now }
    var minimumResolution: Duration { .nanoseconds(1) }

    func sleep(until deadline: ContinuousClock.Instant, tolerance: Duration?) async throws {
        try Task.checkCancellation()
    }
}
