import NIOCore
import SyncAuth
import SyncClient
import SyncProtocol
import SyncTesting
import Synchronization
import Testing

/// The file calls of the client against a real server.
@Suite("Files with the client", .timeLimit(.minutes(5)))
struct FileClientTests {
    private static func source(_ bytes: ByteBuffer) -> FileTransfer.Source {
        { offset, count in bytes.getSlice(at: Int(offset), length: count) ?? ByteBuffer() }
    }

    private func withTransfer(
        _ setting: FileSetting, cuts: Int = 0, after bytes: Int = 0,
        _ body: (FileTransfer, FileClient) async throws -> Void
    ) async throws {
        try await setting.withServer(fileBytesMax: 20_971_520) { server in
            try await server.withRecord { files, _ in
                try await CuttingProxy.with(target: files.port, cuts: cuts, after: bytes) { port in
                    let transfer = FileTransfer(
                        server: "http://127.0.0.1:\(port)", token: files.token, space: files.space)
                    try await body(transfer, files)
                }
            }
        }
    }

    private static func upload(_ bytes: ByteBuffer, _ file: FileID = .random()) -> FileTransfer.Upload {
        FileTransfer.Upload(
            file: file, record: .fixture(1), wrappedDEK: .wrappedDEK(epoch: 1), length: Int64(bytes.readableBytes))
    }

    private static func read(
        _ transfer: FileTransfer, _ file: FileID, _ range: Range<Int64>? = nil
    ) async throws -> (FileTransfer.Metadata?, ByteBuffer) {
        var all = ByteBuffer()
        var metadata: FileTransfer.Metadata?
        try await transfer.download(file, range: range) { found, bytes in
            metadata = found
            all.writeImmutableBuffer(bytes)
        }
        return (metadata, all)
    }

    @Test("HL29: upload, metadata, download and a range", arguments: FileSetting.all, [0, 1, 6_000_000])
    func roundTrip(_ setting: FileSetting, size: Int) async throws {
        try await self.withTransfer(setting) { transfer, _ in
            let bytes = ByteBuffer.pattern(size)
            let upload = Self.upload(bytes)
            #expect(try await transfer.upload(upload, from: Self.source(bytes)))
            #expect(try await transfer.upload(upload, from: Self.source(bytes)) == false)
            let metadata = try await transfer.metadata(of: upload.file)
            #expect(metadata.size == Int64(size))
            #expect(metadata.wrappedDEK == .wrappedDEK(epoch: 1))
            let (found, read) = try await Self.read(transfer, upload.file)
            #expect(found == metadata)
            #expect(read == bytes)
            guard size > 1 else { return }
            let (whole, part) = try await Self.read(transfer, upload.file, 1_000_000..<2_000_000)
            #expect(whole == metadata)
            #expect(part == bytes.getSlice(at: 1_000_000, length: 1_000_000))
        }
    }

    @Test("a resumable upload survives connections that are cut", arguments: FileSetting.all, [0, 5])
    func cut(_ setting: FileSetting, cuts: Int) async throws {
        try await self.withTransfer(setting, cuts: cuts, after: 1_500_000) { transfer, files in
            let bytes = ByteBuffer.pattern(10_000_000)
            let upload = Self.upload(bytes)
            let asked = Mutex<Int64>(0)
            let isNew = try await transfer.uploadResumably(upload) { offset, count in
                asked.withLock { $0 += Int64(count) }
                return bytes.getSlice(at: Int(offset), length: count) ?? ByteBuffer()
            }
            #expect(isNew)
            #expect(try await files.get(upload.file).body == bytes)
            #expect(asked.withLock { $0 } < 10_000_000 + Int64(cuts + 1) * 5_000_000)
            #expect(try await transfer.uploadResumably(upload, from: Self.source(bytes)) == false)
        }
    }

    @Test(
        "refusals are told as they are, and a server that is not there after six attempts", arguments: FileSetting.all)
    func refusals(_ setting: FileSetting) async throws {
        try await self.withTransfer(setting) { transfer, files in
            let bytes = ByteBuffer(string: "x")
            var upload = Self.upload(bytes)
            upload.record = .fixture(9)
            let noRecord = FileTransferError.refused(status: 400, message: "record not found in this space")
            await #expect(throws: noRecord) { try await transfer.upload(upload, from: Self.source(bytes)) }
            await #expect(throws: noRecord) { try await transfer.uploadResumably(upload, from: Self.source(bytes)) }
            await #expect(throws: FileTransferError.refused(status: 404, message: "")) {
                try await transfer.metadata(of: .random())
            }
            await #expect(throws: FileTransferError.refused(status: 404, message: "file not found")) {
                try await transfer.download(.random()) { _, _ in }
            }
            let short = FileTransferError.protocolViolation("the source gave 1 bytes for 2")
            upload = Self.upload(ByteBuffer(string: "xy"))
            await #expect(throws: short) { try await transfer.upload(upload) { _, _ in bytes } }
        }
        let nobody = FileTransfer(
            server: "http://127.0.0.1:1", token: "t", space: .random(), clock: ImpatientClock())
        let error = await #expect(throws: FileTransferError.self) {
            try await nobody.uploadResumably(Self.upload(ByteBuffer())) { _, _ in ByteBuffer() }
        }
        guard case .unreachable = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }
}

/// Time that does not pass while one waits.
struct ImpatientClock: Clock {
    var now: ContinuousClock.Instant { ContinuousClock.now }
    var minimumResolution: Duration { .zero }

    func sleep(until deadline: ContinuousClock.Instant, tolerance: Duration?) async throws {
        try Task.checkCancellation()
    }
}
