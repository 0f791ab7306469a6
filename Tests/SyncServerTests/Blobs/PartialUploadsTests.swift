import Foundation
import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Synchronization
import Testing

@testable import SyncServer

@Suite("Resumable uploads", .timeLimit(.minutes(1)))
struct PartialUploadsTests {
    private static let limits: UploadLimits = {
        var limits = UploadLimits(fileBytesMax: 20_000_000)
        limits.ownerBytesMax = 50_000_000
        limits.ownerCountMax = 4
        return limits
    }()

    private func withUploads(_ body: (String) async throws -> Void) async throws {
        try await TemporaryDirectory.with { root in try await body(root + "/uploads") }
    }

    /// A server process that finds the directory as another one left it.
    private func start(
        _ directory: String, clock: any Clock<Duration> = ContinuousClock()
    ) async throws -> PartialUploads {
        let uploads = PartialUploads(directory: directory, limits: Self.limits, clock: clock)
        try await uploads.prepare()
        return uploads
    }

    private func ticket(_ length: Int64?, owner: String = "alice") -> UploadTicket {
        UploadTicket(
            owner: owner, key: .random(), recordID: .random(), wrappedDEK: Array(repeating: 7, count: 44),
            length: length)
    }

    /// Appends `bytes` from the offset of `upload` on.
    private func append(_ bytes: ByteBuffer, to upload: PartialUpload, count: Int) async throws {
        for try await piece in Pieces(bytes: bytes.getSlice(at: Int(upload.offset), length: count) ?? ByteBuffer()) {
            try await upload.append(piece)
        }
    }

    @Test("An upload continues at its offset, after a restart too, and becomes an object", arguments: [true, false])
    func resume(knowsLength: Bool) async throws {
        try await self.withUploads { directory in
            let store = LocalBlobStore(root: directory + "/..", fileBytesMax: 20_000_000)
            try await store.prepare()
            let bytes = patternedBytes(3_000_000)
            let ticket = self.ticket(knowsLength ? 3_000_000 : nil)
            let first = try await self.start(directory).create(ticket)
            try await self.append(bytes, to: first, count: 1_000_001)
            #expect(first.offset == 1_000_001)
            try await first.suspend()

            let uploads = try await self.start(directory)
            let second = try await uploads.take(first.id)
            #expect(second.ticket == ticket)
            #expect(second.offset == 1_000_001)
            try await self.append(bytes, to: second, count: 1_000_000)
            try await second.suspend()
            let third = try await uploads.take(first.id)
            #expect(third.offset == 2_000_001)
            try await self.append(bytes, to: third, count: 999_999)

            let writer = try await third.begin(in: store)
            #expect(try await writer.publish(.ifAbsent))
            await uploads.remove(first.id)
            #expect(try await store.bytes(of: ticket.key) == bytes)
            #expect(TemporaryDirectory.files(below: directory) == [])
            await #expect(throws: UploadError.notFound) { try await uploads.take(first.id) }
            await #expect(throws: UploadError.notFound) { try await self.start(directory).take(first.id) }
        }
    }

    @Test("An object that is not published leaves the upload as it is")
    func unpublished() async throws {
        try await self.withUploads { directory in
            let store = LocalBlobStore(root: directory + "/..", fileBytesMax: 20_000_000)
            try await store.prepare()
            let uploads = try await self.start(directory)
            let upload = try await uploads.create(self.ticket(5))
            try await upload.append(patternedBytes(5))
            await (try await upload.begin(in: store)).abandon()
            #expect(try await store.length(of: upload.ticket.key) == nil)
            let again = try await uploads.take(upload.id)
            #expect(again.offset == 5)
            #expect(try await again.begin(in: store).publish(.ifAbsent))
        }
    }

    @Test("A missing byte keeps an upload from becoming an object")
    func incomplete() async throws {
        try await self.withUploads { directory in
            let store = LocalBlobStore(root: directory + "/..", fileBytesMax: 20_000_000)
            let upload = try await self.start(directory).create(self.ticket(6))
            try await upload.append(patternedBytes(5))
            await #expect(throws: UploadError.blob(.incomplete)) { _ = try await upload.begin(in: store) }
        }
    }

    @Test("More bytes than announced, or than a file may have, are refused")
    func tooLarge() async throws {
        try await self.withUploads { directory in
            let uploads = try await self.start(directory)
            await #expect(throws: UploadError.tooLarge) { try await uploads.create(self.ticket(20_000_001)) }
            let announced = try await uploads.create(self.ticket(5))
            try await announced.append(patternedBytes(4))
            await #expect(throws: UploadError.tooLarge) { try await announced.append(patternedBytes(2)) }
            #expect(announced.offset == 4)
            let open = try await uploads.create(self.ticket(nil))
            try await open.append(patternedBytes(20_000_000))
            await #expect(throws: UploadError.tooLarge) { try await open.append(patternedBytes(1)) }
        }
    }

    @Test("Whoever takes an upload ends the session that has it")
    func takeOver() async throws {
        try await self.withUploads { directory in
            let uploads = try await self.start(directory)
            let bytes = patternedBytes(1_000_000)
            let first = try await uploads.create(self.ticket(1_000_000))
            try await self.append(bytes, to: first, count: 600_000)
            let second = try await uploads.take(first.id)
            // What the first session had not written is gone, and the offset says so.
            #expect(second.offset <= 600_000)
            #expect(second.offset >= 600_000 - Int64(LocalBlobStore.chunkBytes))
            await #expect(throws: UploadError.superseded) { try await first.append(patternedBytes(300_000)) }
            await #expect(throws: UploadError.superseded) { try await first.suspend() }
            try await self.append(bytes, to: second, count: 1_000_000 - Int(second.offset))
            try await second.suspend()
            #expect(
                try Data(contentsOf: URL(fileURLWithPath: "\(directory)/\(first.id)")) == Data(bytes.readableBytesView))
            await uploads.remove(first.id)
            await #expect(throws: UploadError.superseded) { try await second.suspend() }
        }
    }

    @Test("Whoever takes an upload ends the request that brings it bytes, and what it has brought counts")
    func takeOverWhileReceiving() async throws {
        try await self.withUploads { directory in
            let uploads = try await self.start(directory)
            let first = try await uploads.create(self.ticket(1_000_000))
            // Less than is written at once.
            let bytes = patternedBytes(200_000)
            let (arrived, arrive) = AsyncStream.makeStream(of: Void.self)
            let outcome = Task {
                try await first.receive {
                    try await first.append(bytes)
                    arrive.finish()
                    try await Task.sleep(for: .seconds(3_600))
                }
            }
            for await _ in arrived {}
            let second = try await uploads.take(first.id)
            #expect(second.offset == 200_000)
            await #expect(throws: UploadError.superseded) { try await outcome.value }
            await #expect(throws: UploadError.superseded) { try await first.receive {} }
            try await second.receive { try await second.append(bytes) }
            #expect(second.offset == 400_000)
        }
    }

    @Test("A request that does not end is waited for 5 s; what it has not written is dropped then")
    func takeOverInVain() async throws {
        try await self.withUploads { directory in
            let clock = TestClock()
            let uploads = try await self.start(directory, clock: clock)
            let first = try await uploads.create(self.ticket(1_000_000))
            let (arrived, arrive) = AsyncStream.makeStream(of: Void.self)
            let stuck = Stuck()
            let outcome = Task {
                try await first.receive {
                    try await first.append(patternedBytes(200_000))
                    arrive.finish()
                    await stuck.wait()
                }
            }
            for await _ in arrived {}
            let taken = Task { try await uploads.take(first.id).offset }
            await clock.waitForSleeper(of: .seconds(5))
            clock.advance(by: .seconds(5))
            #expect(try await taken.value == 0)
            stuck.end()
            await #expect(throws: UploadError.superseded) { try await outcome.value }
        }
    }

    /// Work that takes no notice of its cancellation.
    private final class Stuck: Sendable {
        private let state = Mutex((isOver: false, waiter: CheckedContinuation<Void, Never>?.none))

        func wait() async {
            await withCheckedContinuation { waiter in
                let isOver = self.state.withLock { state in
                    if !state.isOver { state.waiter = waiter }
                    return state.isOver
                }
                if isOver { waiter.resume() }
            }
        }

        func end() {
            let waiter = self.state.withLock { state in
                state.isOver = true
                return state.waiter.take()
            }
            waiter?.resume()
        }
    }

    @Test("A crash in the middle of a request costs 8 MiB at most")
    func lossOfCrash() async throws {
        try await self.withUploads { directory in
            let upload = try await self.start(directory).create(self.ticket(nil))
            var lossMax: Int64 = 0
            for _ in 0..<300 {
                try await upload.append(patternedBytes(64_000))
                let durable = try OffsetFile.read(for: "\(directory)/\(upload.id)")
                lossMax = max(lossMax, upload.offset - durable)
            }
            #expect(lossMax <= UploadLimits.lossMax)
            #expect(lossMax > UploadLimits.lossMax / 2)
        }
    }

    @Test("After a crash of the machine only what was durable counts")
    func crash() async throws {
        try await self.withUploads { directory in
            let upload = try await self.start(directory).create(self.ticket(nil))
            try await upload.append(patternedBytes(700_000))
            try await upload.suspend()
            // What a file system may leave behind the last checkpoint.
            let file = try #require(FileHandle(forUpdatingAtPath: "\(directory)/\(upload.id)"))
            try file.seekToEnd()
            try file.write(contentsOf: Data(repeating: 0, count: 50_000))
            #expect(try await self.start(directory).take(upload.id).offset == 700_000)
            #expect(try file.seekToEnd() == 700_000)

            // And when the checkpoint is ahead of the bytes, which no file system should do.
            try file.truncate(atOffset: 5)
            #expect(try await self.start(directory).take(upload.id).offset == 5)
        }
    }

    @Test("A long upload is made durable now and then")
    func checkpoints() async throws {
        try await self.withUploads { directory in
            let upload = try await self.start(directory).create(self.ticket(nil))
            let bytes = patternedBytes(Int(UploadLimits.checkpointBytes) + 1_000_000)
            try await self.append(bytes, to: upload, count: bytes.readableBytes)
            let offset = try await self.start(directory).take(upload.id).offset
            #expect(offset >= UploadLimits.checkpointBytes)
            #expect(offset < UploadLimits.checkpointBytes + Int64(LocalBlobStore.chunkBytes))
        }
    }

    @Test("What one owner has unfinished is bounded in bytes and in number, after a restart too")
    func caps() async throws {
        try await self.withUploads { directory in
            var uploads = try await self.start(directory)
            let first = try await uploads.create(self.ticket(20_000_000))
            _ = try await uploads.create(self.ticket(nil))
            uploads = try await self.start(directory)
            await #expect(throws: UploadError.tooMuchUnfinished) { try await uploads.create(self.ticket(10_000_001)) }
            await #expect(throws: UploadError.tooMuchUnfinished) { try await uploads.create(self.ticket(nil)) }
            _ = try await uploads.create(self.ticket(20_000_000, owner: "bob"))
            _ = try await uploads.create(self.ticket(10_000_000))
            await uploads.remove(first.id)
            for _ in 0..<2 { _ = try await uploads.create(self.ticket(1)) }
            await #expect(throws: UploadError.tooMuchUnfinished) { try await uploads.create(self.ticket(0)) }
        }
    }

    @Test("An upload to which nothing was added for its lifetime is removed")
    func expiry() async throws {
        try await self.withUploads { directory in
            let uploads = try await self.start(directory)
            let upload = try await uploads.create(self.ticket(5))
            try await upload.append(patternedBytes(5))
            try await upload.suspend()
            let expiry = try await uploads.expiry(of: upload.id)
            #expect(abs(expiry.timeIntervalSinceNow - 24 * 3_600) < 60)
            #expect(try await uploads.removeExpired(now: expiry) == 0)
            #expect(try await uploads.removeExpired(now: expiry.addingTimeInterval(1)) == 1)
            await #expect(throws: UploadError.notFound) { try await uploads.take(upload.id) }
            await #expect(throws: UploadError.notFound) { try await uploads.expiry(of: upload.id) }
            #expect(TemporaryDirectory.files(below: directory) == [])
        }
    }

    @Test("What has no readable ticket is removed at the start; other files are left alone")
    func leftovers() async throws {
        try await self.withUploads { directory in
            let upload = try await self.start(directory).create(self.ticket(5))
            let orphan = UploadID.random().wireText
            let damaged = UploadID.random().wireText
            for name in [orphan, orphan + ".offset", damaged, damaged + ".ticket", "notes.txt"] {
                try Data("x".utf8).write(to: URL(fileURLWithPath: "\(directory)/\(name)"))
            }
            let uploads = try await self.start(directory)
            #expect(
                TemporaryDirectory.files(below: directory)
                    == ["", ".offset", ".ticket"].map { upload.id.wireText + $0 } + ["notes.txt"])
            #expect(try await uploads.take(upload.id).offset == 0)
        }
    }

    @Test("An unknown upload is not found")
    func unknown() async throws {
        try await self.withUploads { directory in
            let uploads = try await self.start(directory)
            await #expect(throws: UploadError.notFound) { try await uploads.take(.random()) }
            await #expect(throws: UploadError.notFound) { try await uploads.ticket(of: .random()) }
            await uploads.remove(.random())
        }
    }
}
