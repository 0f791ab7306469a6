import Foundation
import NIOCore
import SyncProtocol
import SyncStorage
import Testing

@testable import SyncServer

/// What every blob store does (docs/contract/storage.md §6.5).
@Suite("Blob store contract", .timeLimit(.minutes(2)))
struct BlobStoreTests {
    @Test("BL1: stored bytes are read back; a second store changes nothing", arguments: TestBlobStore.available)
    func storeAndOpen(on kind: TestBlobStore) async throws {
        try await kind.withStore { store async throws in
            let key = FileKey.random()
            let bytes = patternedBytes(700_001)
            #expect(try await store.put(key, bytes))
            #expect(try await !store.put(key, patternedBytes(700_001, seed: 9)))
            #expect(try await !store.put(key, patternedBytes(3)))
            #expect(try await store.bytes(of: key) == bytes)
            #expect(try await store.open(key, range: nil).length == 700_001)
            #expect(try await store.length(of: key) == 700_001)
        }
    }

    @Test("BL2: an unknown object is not found", arguments: TestBlobStore.available)
    func unknown(on kind: TestBlobStore) async throws {
        try await kind.withStore { store async throws in
            await #expect(throws: BlobError.notFound) { _ = try await store.open(.random(), range: nil) }
            await #expect(throws: BlobError.notFound) { _ = try await store.open(.random(), range: 0..<1) }
            #expect(try await store.length(of: .random()) == nil)
        }
    }

    @Test(
        "BL3: one byte above the limit leaves nothing; exactly the limit is stored", arguments: TestBlobStore.available)
    func limit(on kind: TestBlobStore) async throws {
        try await kind.withStore { store async throws in
            let key = FileKey.random()
            let limit = TestBlobStore.fileBytesMax
            let bytes = patternedBytes(Int(limit))
            await #expect(throws: BlobError.tooLarge) { _ = try await store.begin(key, length: limit + 1) }
            #expect(try await store.put(key, bytes))
            #expect(try await store.bytes(of: key) == bytes)
            #expect(try await store.allEntries().map(\.key) == [key])
        }
    }

    @Test("BL3: more or fewer bytes than announced leave nothing", arguments: TestBlobStore.available)
    func announcedLength(on kind: TestBlobStore) async throws {
        try await kind.withStore { store async throws in
            let key = FileKey.random()
            for length in [0, 9, 6_000_000] {
                await #expect(throws: BlobError.tooLarge) {
                    try await store.put(key, length: Int64(length), body: Pieces(bytes: patternedBytes(length + 1)))
                }
                await #expect(throws: BlobError.incomplete) {
                    try await store.put(key, length: Int64(length + 1), body: Pieces(bytes: patternedBytes(length)))
                }
            }
            #expect(try await store.length(of: key) == nil)
            #expect(try await store.allEntries() == [])
        }
    }

    @Test("BL4: a source that fails half-way leaves nothing", arguments: TestBlobStore.available)
    func failingSource(on kind: TestBlobStore) async throws {
        try await kind.withStore { store async throws in
            let key = FileKey.random()
            for count in [0, 1_000, 6_000_000] {
                await #expect(throws: SourceFailure()) {
                    try await store.put(
                        key, length: Int64(count),
                        body: Pieces(bytes: patternedBytes(count), failure: SourceFailure()))
                }
            }
            #expect(try await store.length(of: key) == nil)
            #expect(try await store.put(key, patternedBytes(10)))
        }
    }

    @Test("BL5: of 16 concurrent stores of one key exactly one creates it", arguments: TestBlobStore.available)
    func concurrentStores(on kind: TestBlobStore) async throws {
        try await kind.withStore { store async throws in
            let key = FileKey.random()
            let creators = try await withThrowingTaskGroup(of: (Int, Bool).self) { group in
                for seed in 0..<16 {
                    group.addTask { (seed, try await store.put(key, patternedBytes(100_000, seed: seed))) }
                }
                return try await group.reduce(into: [Int]()) { creators, result in
                    if result.1 { creators.append(result.0) }
                }
            }
            try #require(creators.count == 1)
            #expect(try await store.bytes(of: key) == patternedBytes(100_000, seed: creators[0]))
        }
    }

    @Test("BL6: a second deletion is not an error; the key is free again", arguments: TestBlobStore.available)
    func deletion(on kind: TestBlobStore) async throws {
        try await kind.withStore { store async throws in
            let key = FileKey.random()
            try await store.put(key, patternedBytes(10))
            try await store.delete(key)
            try await store.delete(key)
            await #expect(throws: BlobError.notFound) { _ = try await store.open(key, range: nil) }
            #expect(try await store.put(key, patternedBytes(20)))
            #expect(try await store.length(of: key) == 20)
        }
    }

    @Test("BL8: an object of zero bytes is stored and read back", arguments: TestBlobStore.available)
    func empty(on kind: TestBlobStore) async throws {
        try await kind.withStore { store async throws in
            let key = FileKey.random()
            #expect(try await store.put(key, ByteBuffer()))
            #expect(try await !store.put(key, ByteBuffer()))
            #expect(try await store.open(key, range: nil).length == 0)
            #expect(try await store.bytes(of: key) == ByteBuffer())
            #expect(try await store.bytes(of: key, range: 0..<0) == ByteBuffer())
        }
    }

    @Test("HL21: an object that no row knows of is replaced on request", arguments: TestBlobStore.available)
    func replacing(on kind: TestBlobStore) async throws {
        try await kind.withStore { store async throws in
            let key = FileKey.random()
            #expect(try await store.put(key, patternedBytes(10), .replacing))
            #expect(try await store.put(key, patternedBytes(20, seed: 3), .replacing))
            #expect(try await store.put(key, patternedBytes(5_500_000, seed: 4), .replacing))
            #expect(try await store.bytes(of: key) == patternedBytes(5_500_000, seed: 4))
        }
    }

    @Test("a range is exactly those bytes, and the length that of the whole object", arguments: TestBlobStore.available)
    func ranges(on kind: TestBlobStore) async throws {
        try await kind.withStore { store async throws in
            let key = FileKey.random()
            let bytes = patternedBytes(600_000)
            try await store.put(key, bytes)
            for range in [0..<1, 599_999..<600_000, 5..<5, 0..<600_000, 262_143..<524_290] as [Range<Int64>] {
                let content = try await store.open(key, range: range)
                #expect(content.length == 600_000)
                let expected = bytes.getSlice(at: Int(range.lowerBound), length: range.count)
                #expect(try await store.bytes(of: key, range: range) == expected)
            }
            for range in [0..<600_001, 600_001..<600_002] as [Range<Int64>] {
                await #expect(throws: BlobError.outOfRange) { _ = try await store.open(key, range: range) }
            }
        }
    }

    @Test("a reader that stops in the middle disturbs nobody", arguments: TestBlobStore.available)
    func partialReading(on kind: TestBlobStore) async throws {
        try await kind.withStore { store async throws in
            let key = FileKey.random()
            let bytes = patternedBytes(4_000_000)
            try await store.put(key, bytes)
            for _ in 0..<20 {
                for try await _ in try await store.open(key, range: nil).body { break }
            }
            #expect(try await store.bytes(of: key) == bytes)
        }
    }

    @Test(
        "nothing is visible before it is published, and an abandoned object never is",
        arguments: TestBlobStore.available
    )
    func visibility(on kind: TestBlobStore) async throws {
        try await kind.withStore { store async throws in
            let key = FileKey.random()
            let bytes = patternedBytes(5_800_000)
            let writer = try await store.begin(key, length: Int64(bytes.readableBytes))
            try await writer.append(bytes)
            #expect(try await store.length(of: key) == nil)
            try await writer.finish()
            #expect(try await store.length(of: key) == nil)
            #expect(try await store.allEntries() == [])
            #expect(try await writer.publish(.ifAbsent))
            await writer.abandon()
            #expect(try await store.bytes(of: key) == bytes)

            let other = try await store.begin(.random(), length: 3)
            try await other.append(patternedBytes(3))
            try await other.finish()
            await other.abandon()
            await #expect(throws: BlobError.self) { _ = try await other.publish(.ifAbsent) }
            #expect(try await store.allEntries().map(\.key) == [key])
        }
    }

    @Test("HL23: abandoning works in a cancelled task", arguments: TestBlobStore.available)
    func cancellation(on kind: TestBlobStore) async throws {
        try await kind.withStore { store async throws in
            let key = FileKey.random()
            let upload = Task {
                try await store.put(key, length: 100_000, body: Stalled(first: patternedBytes(60_000)))
            }
            upload.cancel()
            await #expect(throws: (any Error).self) { try await upload.value }
            #expect(try await store.length(of: key) == nil)
            #expect(try await store.allEntries() == [])
            #expect(try await store.put(key, patternedBytes(4)))
        }
    }

    @Test(
        "the bytes of a file on this machine become an object, and the file stays", arguments: TestBlobStore.available)
    func fromFile(on kind: TestBlobStore) async throws {
        try await kind.withStore { store async throws in
            try await TemporaryDirectory.with { directory in
                for count in [0, 5, 6_000_000] {
                    // A local store needs the file on its own file system, as the temporary directory is.
                    let bytes = patternedBytes(count)
                    let path = "\(directory)/\(count)"
                    try Data(bytes.readableBytesView).write(to: URL(fileURLWithPath: path))
                    let key = FileKey.random()
                    await #expect(throws: BlobError.incomplete) {
                        _ = try await store.begin(key, fromFile: path, length: Int64(count + 1))
                    }
                    await (try await store.begin(key, fromFile: path, length: Int64(count))).abandon()
                    #expect(try await store.length(of: key) == nil)
                    #expect(try await store.begin(key, fromFile: path, length: Int64(count)).publish(.ifAbsent))
                    #expect(try await store.bytes(of: key) == bytes)
                    #expect(FileManager.default.contents(atPath: path)?.count == count)
                }
                await #expect(throws: BlobError.notFound) {
                    _ = try await store.begin(.random(), fromFile: directory + "/none", length: 1)
                }
                await #expect(throws: BlobError.tooLarge) {
                    _ = try await store.begin(
                        .random(), fromFile: directory + "/5", length: TestBlobStore.fileBytesMax + 1)
                }
            }
        }
    }

    @Test("a listing holds every object once, in the order of the keys", arguments: TestBlobStore.available)
    func listing(on kind: TestBlobStore) async throws {
        try await kind.withStore { store async throws in
            #expect(try await store.allEntries() == [])
            let spaces = (0..<3).map { _ in SpaceID.random() }
            var lengths: [FileKey: Int64] = [:]
            for index in 0..<12 {
                let key = FileKey(space: spaces[index % 3], file: .random())
                try await store.put(key, patternedBytes(index))
                lengths[key] = Int64(index)
            }
            let entries = try await store.allEntries()
            #expect(entries.map(\.key) == lengths.keys.sorted())
            #expect(entries.map(\.length) == entries.map { lengths[$0.key] })
            #expect(entries.allSatisfy { abs($0.modified.timeIntervalSinceNow) < 60 })
        }
    }
}

/// One piece, and then nothing until the task is cancelled.
private struct Stalled: AsyncSequence {
    let first: ByteBuffer

    struct AsyncIterator: AsyncIteratorProtocol {
        var first: ByteBuffer?

        mutating func next() async throws -> ByteBuffer? {
            defer { self.first = nil }
            if let first { return first }
            try await Task.sleep(for: .seconds(3_600))
            return nil
        }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(first: self.first) }
}
