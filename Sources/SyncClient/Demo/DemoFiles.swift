import Crypto
import FoundationEssentials
import NIOCore
import SyncProtocol

/// The third act of the demo: one device uploads encrypted files, another fetches and verifies them, the keys are rotated, and
/// the files go with their record.
package struct DemoFiles: Sendable {
    /// Plaintext of the files, in bytes: nothing, less than a chunk, and more than one request of a resumable upload.
    package static let sizes: [Int64] = [0, 40_000, 9_000_001]

    private static let clientName = "less-sync-demo"
    private static let noteSequence: Int64 = 1

    private let url: String
    private let clock: any Clock<Duration>
    private let firstKey = SymmetricKey(size: .bits256)
    private let secondKey = SymmetricKey(size: .bits256)
    private let names = DemoCipher()

    package init(url: String, clock: any Clock<Duration> = ContinuousClock()) {
        self.url = url
        self.clock = clock
    }

    private struct Device {
        let member: DemoMember
        let transfer: FileTransfer
    }

    /// - Throws: `DemoError` as soon as something is not as it should be.
    package func run(_ tell: DemoSharing.Tell) async throws {
        let (laptop, phone) = try await self.connect()
        do {
            try await self.play(laptop, phone, tell)
        } catch {
            await laptop.member.close()
            await phone.member.close()
            if let error = error as? FileTransferError { throw DemoError.files(error.description) }
            throw error
        }
        await laptop.member.close()
        await phone.member.close()
    }

    private func play(_ laptop: Device, _ phone: Device, _ tell: DemoSharing.Tell) async throws {
        let space = laptop.member.personalSpace
        let record = self.names.recordID(Self.noteSequence)
        try await phone.member.subscribe(to: space)
        let cursor = try await self.pushNote(laptop, record)
        let files = Self.sizes.map { DemoFile(id: .random(), bytes: $0) }
        let keys = EpochKeys([1: self.firstKey])
        for file in files { try await self.upload(file, of: record, by: laptop, keys) }
        for file in files {
            let heard = try await self.nextFile(phone, of: space)
            guard heard == file.id else { throw DemoError.files("the phone heard of \(heard), not of \(file.id)") }
        }
        for file in files { try await self.verify(file, on: phone, keys) }
        let bytes = files.reduce(0) { $0 + $1.bytes }
        tell(
            "the laptop uploaded \(files.count) files of \(DisplayText.grouped(bytes)) bytes, encrypted; "
                + "the phone was told of each, fetched it and verified its SHA-256")

        let count = try await self.rotate(laptop, space)
        for file in files { try await self.verify(file, on: phone, EpochKeys([2: self.secondKey])) }
        tell("a new epoch began and \(count) DEKs were rewrapped; the phone opened every file with the new key alone")

        try await laptop.member.push(deleting: record, at: cursor, in: space)
        for file in files {
            do {
                _ = try await phone.transfer.metadata(of: file.id)
                throw DemoError.files("\(file.id) is there although its record is deleted")
            } catch FileTransferError.refused(status: 404, _) {}
        }
        tell("the laptop deleted the record, and with it the server has none of its files any more")
    }

    // MARK: - Steps

    /// - Returns: The cursor of the record.
    private func pushNote(_ laptop: Device, _ record: RecordID) async throws -> Int64 {
        let dek = try EpochKeys([1: self.firstKey]).wrap(SymmetricKey(size: .bits256), for: 1)
        let blob = try self.names.seal(ByteBuffer(string: "three files"), id: record)
        return try await laptop.member.push(
            .init(id: record.wireText, blob: blob, expectedCursor: 0, dek: dek), to: laptop.member.personalSpace)
    }

    private func upload(_ file: DemoFile, of record: RecordID, by laptop: Device, _ keys: EpochKeys) async throws {
        let key = SymmetricKey(size: .bits256)
        let upload = FileTransfer.Upload(
            file: file.id, record: record, wrappedDEK: try keys.wrap(key, for: 1),
            length: FileCipher.sealedBytes(of: file.bytes))
        let source = file.source(sealedWith: FileCipher(key: key, file: file.id))
        let isResumable = upload.length > Int64(FileCipher.sealedChunkBytes)
        let isNew =
            try await isResumable
            ? laptop.transfer.uploadResumably(upload, from: source)
            : laptop.transfer.upload(upload, from: source)
        guard isNew else { throw DemoError.files("\(file.id) was there already") }
    }

    private func nextFile(_ phone: Device, of space: SpaceID) async throws -> FileID {
        try await phone.member.event("word of a file") { event in
            guard case .file(let notification) = event, notification.space == space else { return nil }
            return notification.files.first?.id
        }
    }

    private func verify(_ file: DemoFile, on phone: Device, _ keys: EpochKeys) async throws {
        var opener: DemoFileOpener?
        try await phone.transfer.download(file.id) { metadata, bytes in
            if opener == nil {
                let key = try keys.unwrap(metadata.wrappedDEK)
                opener = DemoFileOpener(cipher: FileCipher(key: key, file: file.id), sealedBytes: metadata.size)
            }
            try opener?.add(bytes)
        }
        guard let opener, opener.isComplete, opener.digest == file.digest else {
            throw DemoError.files("\(file.id) is not what was uploaded")
        }
    }

    /// - Returns: DEKs that were rewrapped.
    private func rotate(_ laptop: Device, _ space: SpaceID) async throws -> Int {
        let keys = EpochKeys([1: self.firstKey, 2: self.secondKey])
        try await laptop.member.call { client throws(SyncClientError) in _ = try await client.beginEpoch(2, in: space) }
        let (records, files) = try await laptop.member.deks(of: space)
        let newRecords = try records.map { (id: $0.id, dek: try keys.wrap(keys.unwrap($0.dek), for: 2)) }
        let newFiles = try files.map { (id: $0.id, dek: try keys.wrap(keys.unwrap($0.dek), for: 2)) }
        try await laptop.member.call { client throws(SyncClientError) in
            try await client.rewrapRecordDEKs(newRecords, in: space)
            try await client.rewrapFileDEKs(newFiles, in: space)
            try await client.completeEpoch(2, in: space)
        }
        return newRecords.count + newFiles.count
    }

    private func connect() async throws -> (laptop: Device, phone: Device) {
        let endpoint = try DemoEndpoint(self.url)
        let tokens = try await DevTokens(endpoint)
            .fetch(2, user: "demo-files-\(UUID().uuidString.lowercased())", client: Self.clientName)
        var devices: [Device] = []
        for (name, token) in zip(["the laptop", "the phone"], tokens) {
            do {
                let client = try await SyncClient.connect(to: endpoint.sockets, token: token.token)
                devices.append(
                    Device(
                        member: DemoMember(
                            name: name, personalSpace: token.space, mailbox: "", client: client, clock: self.clock),
                        transfer: FileTransfer(
                            server: endpoint.base, token: token.token, space: token.space, clock: self.clock)))
            } catch {
                for device in devices { await device.member.close() }
                throw DemoError.connection(device: name, error)
            }
        }
        return (devices[0], devices[1])
    }
}

/// A file that is made up as it is read: any stretch of it, again and again.
struct DemoFile: Sendable {
    let id: FileID
    let bytes: Int64

    /// SHA-256 of the plaintext.
    var digest: SHA256.Digest {
        var hash = SHA256()
        for index in 0..<FileCipher.chunks(of: self.bytes) {
            hash.update(data: Array(self.chunk(index).readableBytesView))
        }
        return hash.finalize()
    }

    private func chunk(_ index: Int64) -> ByteBuffer {
        let start = index * Int64(FileCipher.chunkBytes)
        let count = Int(min(Int64(FileCipher.chunkBytes), self.bytes - start))
        let seed = self.id.bytes[0]
        return ByteBuffer(bytes: (0..<count).map { seed &+ UInt8(truncatingIfNeeded: (Int(index) &* 7) &+ $0 &* 31) })
    }

    /// The sealed bytes of any stretch.
    func source(sealedWith cipher: FileCipher) -> FileTransfer.Source {
        { offset, count in
            let size = Int64(FileCipher.sealedChunkBytes)
            let last = FileCipher.chunks(of: self.bytes) - 1
            var bytes = ByteBuffer()
            var index = offset / size
            while Int64(bytes.readableBytes) < offset % size + Int64(count) {
                guard index <= last, let number = UInt32(exactly: index) else { break }
                bytes.writeImmutableBuffer(
                    try cipher.seal(self.chunk(index), index: number, isLast: index == last))
                index += 1
            }
            bytes.moveReaderIndex(forwardBy: Int(offset % size))
            return bytes.readSlice(length: min(count, bytes.readableBytes)) ?? ByteBuffer()
        }
    }
}

/// Opens a file as its bytes arrive, in pieces of any size, and hashes what comes out.
struct DemoFileOpener {
    private let cipher: FileCipher
    private var bytesLeft: Int64
    private var pending = ByteBuffer()
    private var index: UInt32 = 0
    private var hash = SHA256()

    init(cipher: FileCipher, sealedBytes: Int64) {
        self.cipher = cipher
        self.bytesLeft = sealedBytes
    }

    var isComplete: Bool { self.bytesLeft == 0 }

    var digest: SHA256.Digest { self.hash.finalize() }

    mutating func add(_ bytes: ByteBuffer) throws {
        self.pending.writeImmutableBuffer(bytes)
        while self.bytesLeft > 0 {
            let count = min(self.bytesLeft, Int64(FileCipher.sealedChunkBytes))
            guard let sealed = self.pending.readSlice(length: Int(count)) else { break }
            self.bytesLeft -= count
            let chunk = try self.cipher.open(sealed, index: self.index, isLast: self.bytesLeft == 0)
            self.hash.update(data: Array(chunk.readableBytesView))
            self.index += 1
        }
        self.pending.discardReadBytes()
    }
}
