import FoundationEssentials
import Glibc
import NIOCore
import SyncProtocol
import SyncTesting
import Testing

@testable import SyncClient

@Suite("Demo source", .timeLimit(.minutes(5)))
struct DemoSourceTests {
    private static func entries(_ folder: TemporaryFolder) throws -> [FolderWalk.Entry] {
        var walk = try FolderWalk(root: folder.path)
        var entries: [FolderWalk.Entry] = []
        while let entry = walk.next() { entries.append(entry) }
        return entries
    }

    /// Everything that a source makes, verified; and how many pushes that were.
    private static func roundTrip(
        _ folder: TemporaryFolder, _ limits: DemoSource.Limits = .init()
    ) async throws -> (verifier: DemoVerifier, sent: DemoCounts, batches: [DemoSource.Batch]) {
        let cipher = DemoCipher()
        let source = try DemoSource(folder: folder.path, cipher: cipher, limits: limits)
        var verifier = DemoVerifier(cipher)
        var sent = DemoCounts()
        var batches: [DemoSource.Batch] = []
        while let batch = try await source.nextBatch() {
            for change in batch.changes {
                #expect(change.expectedCursor == 0)
                let id = try #require(RecordID(wireText: change.id))
                try verifier.take(
                    RecordEntry(space: nil, id: id, blob: change.blob, cursor: 1, dek: nil, deleted: false))
            }
            sent.add(batch.counts)
            batches.append(batch)
        }
        return (verifier, sent, batches)
    }

    @Test("files come in the order of their names' bytes, with those of subfolders; empty folders do not come")
    func order() async throws {
        try await TemporaryFolder.with { folder in
            for name in ["b", "a/z", "a/b/c", "a-", "B", "ä", "a/ü\u{1F600}"] { try folder.write(name, [1]) }
            try folder.makeFolder("empty")
            let names = ["B", "a/b/c", "a/z", "a/ü\u{1F600}", "a-", "b", "ä"]
            #expect(try Self.entries(folder) == names.map { .file(path: $0, bytes: 1) })
        }
    }

    @Test("links and special files are skipped, with their kind")
    func specialFiles() async throws {
        try await TemporaryFolder.with { folder in
            try folder.write("target/file", [1])
            #expect(symlink("target", "\(folder.path)/folder-link") == 0)
            #expect(symlink("target/file", "\(folder.path)/link") == 0)
            #expect(symlink("nowhere", "\(folder.path)/lost") == 0)
            #expect(mkfifo("\(folder.path)/pipe", 0o600) == 0)
            let expected: [FolderWalk.Entry] = [
                .skipped(path: "folder-link", kind: "symbolic link"), .skipped(path: "link", kind: "symbolic link"),
                .skipped(path: "lost", kind: "symbolic link"), .skipped(path: "pipe", kind: "pipe"),
                .file(path: "target/file", bytes: 1),
            ]
            #expect(try Self.entries(folder) == expected)
        }
    }

    @Test("a name that is not UTF-8 is refused and shown")
    func foreignNames() async throws {
        try await TemporaryFolder.with { folder in
            try folder.create(nameBytes: [UInt8(ascii: "a"), 0xFF, 0x1B])
            let line = #"cannot send "a\xff\x1b": its name is not UTF-8"#
            #expect(try Self.entries(folder) == [.refused(line)])
            let source = try DemoSource(folder: folder.path, cipher: DemoCipher())
            #expect(try await source.summarize().refused.lines == [line])
            await #expect(throws: DemoError.unsendable([line], count: 1)) { try await source.nextBatch() }
        }
    }

    @Test("what is no folder is said so")
    func noFolder() async throws {
        try await TemporaryFolder.with { folder in
            try folder.write("file")
            #expect(throws: DemoError.folder("\(folder.path)/file", reason: "not a folder")) {
                try DemoSource(folder: "\(folder.path)/file", cipher: DemoCipher())
            }
            #expect(throws: DemoError.folder("\(folder.path)/none", reason: "No such file or directory")) {
                try DemoSource(folder: "\(folder.path)/none", cipher: DemoCipher())
            }
        }
    }

    @Test("an empty folder is a manifest; an empty file is one record")
    func emptiness() async throws {
        try await TemporaryFolder.with { folder in
            let nothing = try await Self.roundTrip(folder)
            #expect(nothing.verifier.isComplete)
            #expect(nothing.verifier.counts.records == 1)
            try folder.write("empty")
            let empty = try await Self.roundTrip(folder)
            #expect(empty.verifier.isComplete)
            #expect(empty.verifier.counts.records == 2)
            #expect(empty.verifier.counts.files == 1)
        }
    }

    @Test("files of any size survive being split, sealed, batched, opened and joined", arguments: 1...8)
    func property(seed: UInt64) async throws {
        var generator = SeededRandom(seed: seed)
        var limits = DemoSource.Limits()
        limits.partBytesMax = Int.random(in: 1...50, using: &generator)
        limits.batchRecordsMax = Int.random(in: 1...20, using: &generator)
        limits.batchBytesMax = Int.random(in: 100...1_000, using: &generator)
        let bounds = limits
        try await TemporaryFolder.with { folder in
            var records: Int64 = 1
            var bytes: Int64 = 0
            for number in 0..<20 {
                // Sizes on both sides of whole parts.
                let parts = Int.random(in: 0...4, using: &generator) * bounds.partBytesMax
                let size = max(0, parts + Int.random(in: -1...1, using: &generator))
                try folder.write("\(number % 3)/\(number)", .random(size, using: &generator))
                records += Int64(max(1, (size + bounds.partBytesMax - 1) / bounds.partBytesMax))
                bytes += Int64(size)
            }
            let (verifier, sent, batches) = try await Self.roundTrip(folder, bounds)
            #expect(verifier.isComplete)
            #expect(verifier.counts == sent)
            #expect(sent.records == records)
            #expect(sent.fileBytes == bytes)
            #expect(sent.files == 20)
            for batch in batches {
                #expect(batch.changes.count <= bounds.batchRecordsMax)
                let size = batch.changes.map { $0.blob?.readableBytes ?? 0 }.reduce(0, +)
                #expect(batch.changes.count == 1 || size <= bounds.batchBytesMax)
            }
        }
    }

    @Test("the largest part fits a record, and the largest batch a message")
    func limits() async throws {
        let limits = DemoSource.Limits()
        let part = DemoPart(
            path: String(repeating: "p", count: 4_095), index: .max, fileBytes: .max,
            data: ByteBuffer(repeating: 1, count: limits.partBytesMax),
            end: .complete(ByteBuffer(repeating: 1, count: 32)))
        let blobBytes = DemoRecord.part(part).encoded.readableBytes + DemoCipher.overheadBytes
        #expect(blobBytes <= Limits.pullableChangeBytesMax)
        #expect(2 * blobBytes <= limits.batchBytesMax)
        #expect(limits.batchBytesMax + limits.batchRecordsMax * 200 <= Limits.messageBytesMax)
    }

    @Test("a file that changes while it is read is noticed", arguments: ["grows", "shrinks", "is rewritten"])
    func changingFile(change: String) async throws {
        try await TemporaryFolder.with { folder in
            try folder.write("f", [1, 2, 3, 4])
            // So that a rewrite within the clock's resolution shows.
            var times = [timespec(tv_sec: 1, tv_nsec: 0), timespec(tv_sec: 1, tv_nsec: 0)]
            #expect(utimensat(AT_FDCWD, "\(folder.path)/f", &times, 0) == 0)
            let file = try FileParts(root: folder.path, path: "f", partBytesMax: 2)
            #expect(try file.next()?.end == nil)
            let descriptor = open("\(folder.path)/f", O_WRONLY)
            defer { close(descriptor) }
            switch change {
            case "grows": #expect(ftruncate(descriptor, 5) == 0)
            case "shrinks": #expect(ftruncate(descriptor, 3) == 0)
            default: #expect(pwrite(descriptor, "x", 1, 0) == 1)
            }
            #expect(try file.next()?.end == .abandoned)
            #expect(try file.next() == nil)
        }
    }

    @Test("a file that became a link or a pipe after it was seen is not followed")
    func exchangedFile() async throws {
        try await TemporaryFolder.with { folder in
            try folder.write("target", [1])
            #expect(symlink("target", "\(folder.path)/link") == 0)
            #expect(mkfifo("\(folder.path)/pipe", 0o600) == 0)
            #expect(throws: DemoError.file("link", reason: "Too many levels of symbolic links")) {
                try FileParts(root: folder.path, path: "link")
            }
            #expect(throws: DemoError.file("pipe", reason: "no longer a regular file")) {
                try FileParts(root: folder.path, path: "pipe")
            }
        }
    }
}
