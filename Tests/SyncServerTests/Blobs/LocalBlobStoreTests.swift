import Foundation
import NIOCore
import SyncProtocol
import SyncStorage
import Testing

@testable import SyncServer

/// What only a directory can show.
@Suite("Local blob store", .timeLimit(.minutes(1)))
struct LocalBlobStoreTests {
    private func withStore(_ body: (LocalBlobStore, String) async throws -> Void) async throws {
        try await TemporaryDirectory.with { directory in
            let store = LocalBlobStore(root: directory, fileBytesMax: 1_000_000)
            try await store.prepare()
            try await body(store, directory)
        }
    }

    @Test("BL9: an object written by hand at the documented path is read, and objects are written there")
    func layout() async throws {
        try await self.withStore { store, root in
            let byHand = try #require(
                FileKey(
                    path: "spaces/6dfe56d8-7987-439f-b044-ea19e633ef46/files/8e4f907f-cdb8-45a4-bb92-6d9c4f6e8b17"))
            let directory = "\(root)/spaces/6dfe56d8-7987-439f-b044-ea19e633ef46/files"
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            try Data("by hand".utf8).write(to: URL(fileURLWithPath: "\(root)/\(byHand.path)"))
            #expect(try await store.bytes(of: byHand) == ByteBuffer(string: "by hand"))

            let stored = FileKey(space: byHand.space, file: .random())
            try await store.put(stored, patternedBytes(3))
            #expect(TemporaryDirectory.files(below: root) == [byHand.path, stored.path].sorted())
        }
    }

    @Test("BL9: only canonical paths are keys")
    func keys() {
        let path = "spaces/6dfe56d8-7987-439f-b044-ea19e633ef46/files/8e4f907f-cdb8-45a4-bb92-6d9c4f6e8b17"
        #expect(FileKey(path: path)?.path == path)
        for other in [
            path.uppercased(), "/" + path, path + "/", "x" + path,
            "spaces/6DFE56D8-7987-439f-b044-ea19e633ef46/files/8e4f907f-cdb8-45a4-bb92-6d9c4f6e8b17",
            "spaces/6dfe56d87987439fb044ea19e633ef46/files/8e4f907f-cdb8-45a4-bb92-6d9c4f6e8b17",
            "spaces/../files/8e4f907f-cdb8-45a4-bb92-6d9c4f6e8b17", "",
        ] {
            #expect(FileKey(path: other) == nil)
        }
    }

    @Test("A directory for objects in the making that somebody removed is made again; a store that is gone is not")
    func temporaryRemoved() async throws {
        try await self.withStore { store, root in
            try FileManager.default.removeItem(atPath: root + "/temporary")
            let key = FileKey.random()
            try await store.put(key, patternedBytes(5))
            #expect(try await store.bytes(of: key) == patternedBytes(5))

            try FileManager.default.removeItem(atPath: root + "/temporary")
            let whole = root + "/whole"
            try Data(repeating: 1, count: 7).write(to: URL(fileURLWithPath: whole))
            let writer = try await store.begin(.random(), fromFile: whole, length: 7)
            #expect(try await writer.publish(.ifAbsent))

            try FileManager.default.removeItem(atPath: root)
            await #expect(throws: BlobError.notFound) { try await store.put(.random(), patternedBytes(5)) }
            #expect(!FileManager.default.fileExists(atPath: root))
        }
    }

    @Test("BL4: a failed, short, long or cancelled store leaves no temporary file")
    func noTemporaries() async throws {
        try await self.withStore { store, root in
            _ = try? await store.put(
                .random(), length: 900_000, body: Pieces(bytes: patternedBytes(800_000), failure: SourceFailure()))
            _ = try? await store.put(.random(), length: 10, body: Pieces(bytes: patternedBytes(9)))
            _ = try? await store.put(.random(), length: 10, body: Pieces(bytes: patternedBytes(11)))
            let key = FileKey.random()
            try await store.put(key, patternedBytes(5))
            try await store.put(key, patternedBytes(6))
            try await store.put(key, patternedBytes(7), .replacing)
            #expect(TemporaryDirectory.files(below: root) == [key.path])
        }
    }

    @Test("unfinished objects are removed at the start when they are old, and only they")
    func sweeping() async throws {
        try await self.withStore { store, root in
            let key = FileKey.random()
            try await store.put(key, patternedBytes(5))
            let old = try #require(try await store.begin(.random(), length: 1) as? LocalBlobWriter)
            let young = try await store.begin(.random(), length: 1)
            let path = try #require(TemporaryDirectory.files(below: root).first { $0.hasPrefix("temporary/") })
            let day: TimeInterval = 24 * 3_600
            for path in [path, key.path] {
                try FileManager.default.setAttributes(
                    [.modificationDate: Date().addingTimeInterval(-day - 60)], ofItemAtPath: "\(root)/\(path)")
            }
            try await store.removeUnfinished(before: Date().addingTimeInterval(-day))
            let left = TemporaryDirectory.files(below: root)
            #expect(left.count == 2)
            #expect(left.contains(key.path))
            #expect(!left.contains(path))
            await old.abandon()
            await young.abandon()
            #expect(TemporaryDirectory.files(below: root) == [key.path])
        }
    }

    @Test("the directory is made with its parents; one that cannot be made is an error that says why")
    func root() async throws {
        try await TemporaryDirectory.with { directory in
            let deep = LocalBlobStore(root: directory + "/a/b/c", fileBytesMax: 10)
            try await deep.prepare()
            try await deep.put(.random(), patternedBytes(10))

            try Data().write(to: URL(fileURLWithPath: directory + "/file"))
            let blocked = LocalBlobStore(root: directory + "/file/files", fileBytesMax: 10)
            await #expect(throws: BlobError.failed(detail: "mkdir: Not a directory")) {
                try await blocked.prepare()
            }
            await #expect(throws: BlobError.failed(detail: "open: Not a directory")) {
                _ = try await blocked.begin(.random(), length: 1)
            }
        }
    }

    @Test("what is not an object is neither listed nor read")
    func foreignNames() async throws {
        try await self.withStore { store, root in
            let key = FileKey.random()
            try await store.put(key, patternedBytes(5))
            let directory = "\(root)/spaces/\(key.space.wireText)/files"
            let link = FileKey(space: key.space, file: .random())
            let folder = FileKey(space: key.space, file: .random())
            try Data().write(to: URL(fileURLWithPath: "\(directory)/notes.txt"))
            try Data().write(to: URL(fileURLWithPath: "\(root)/spaces/README"))
            try Data().write(to: URL(fileURLWithPath: "\(directory)/\(UUID().uuidString)"))
            try FileManager.default.createSymbolicLink(
                atPath: "\(root)/\(link.path)", withDestinationPath: "\(root)/\(key.path)")
            try FileManager.default.createDirectory(
                atPath: "\(root)/\(folder.path)", withIntermediateDirectories: true)

            #expect(try await store.allEntries().map(\.key) == [key])
            #expect(try await store.length(of: link) == nil)
            await #expect(throws: BlobError.self) { _ = try await store.open(link, range: nil) }
            await #expect(throws: BlobError.self) { _ = try await store.open(folder, range: nil) }
        }
    }

    @Test("a file that shrinks under a reader ends with an error")
    func shrinking() async throws {
        try await self.withStore { store, root in
            let key = FileKey.random()
            try await store.put(key, patternedBytes(600_000))
            let content = try await store.open(key, range: nil)
            let opened = try #require(content.file)
            let file = try #require(FileHandle(forUpdatingAtPath: "\(root)/\(key.path)"))
            try await opened.prefetch(0..<600_000)
            try file.truncate(atOffset: 300_000)
            try await opened.prefetch(0..<300_000)
            await #expect(throws: BlobError.failed(detail: "file is shorter than it was")) {
                try await opened.prefetch(200_000..<300_001)
            }
            var count = 0
            await #expect(throws: BlobError.failed(detail: "file is shorter than it was")) {
                for try await bytes in content.body { count += bytes.readableBytes }
            }
            #expect(count == 2 * FileBody.chunkBytes)
        }
    }

    @Test("a region has handle and bytes of its own, which outlive the object")
    func region() async throws {
        try await self.withStore { store, _ in
            let key = FileKey.random()
            try await store.put(key, patternedBytes(600_000))
            let region: FileRegion
            do {
                let content = try await store.open(key, range: 100..<600_000)
                #expect(content.length == 600_000)
                region = try #require(content.file).region(100..<500_000)
            }
            try await store.delete(key)
            #expect(region.readerIndex == 100)
            #expect(region.endIndex == 500_000)
            var byte: UInt8 = 0
            try region.fileHandle.withUnsafeFileDescriptor { #expect(pread($0, &byte, 1, 499_999) == 1) }
            #expect(byte == patternedBytes(600_000).getInteger(at: 499_999))
            try region.fileHandle.close()
        }
    }

    @Test("a listing of more than a page holds every object")
    func pages() async throws {
        try await self.withStore { store, root in
            let space = SpaceID.random()
            let directory = "\(root)/spaces/\(space.wireText)/files"
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            let files = (0..<(LocalBlobListing.pageMax + 1)).map { _ in FileID.random() }
            for file in files {
                _ = FileManager.default.createFile(atPath: "\(directory)/\(file.wireText)", contents: nil)
            }
            var listing = store.list()
            #expect(try await listing.next().count == LocalBlobListing.pageMax)
            #expect(try await listing.next().count == 1)
            #expect(try await listing.next().isEmpty)
            #expect(try await store.allEntries().map(\.key.file) == files.sorted())
        }
    }
}
