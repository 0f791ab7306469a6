import Crypto
import NIOCore
import SyncProtocol

/// Checks the records of a run as they come, without keeping any: each must be the next one, decrypt, and be in its place;
/// each file must have its hash, and the manifest must agree with the whole.
struct DemoVerifier: Sendable {
    private struct OpenFile {
        let path: String
        let bytes: Int64
        var nextIndex: Int64 = 0
        var received: Int64 = 0
        var hasher = SHA256()
    }

    private let cipher: DemoCipher
    private var nextSequence: Int64 = 0
    private var file: OpenFile?
    private var digest = DemoDigest()
    /// The manifest has come and agrees.
    private(set) var isComplete = false
    private(set) var counts = DemoCounts()

    init(_ cipher: DemoCipher) { self.cipher = cipher }

    /// A record that has been taken already is passed over, as are those of other runs.
    mutating func take(_ record: RecordEntry) throws(DemoMismatch) {
        guard let sequence = self.cipher.sequence(of: record.id) else {
            self.counts.foreignRecords += 1
            return
        }
        guard sequence >= self.nextSequence else { return }
        guard sequence == self.nextSequence else { throw .gap(expected: self.nextSequence, found: sequence) }
        guard let blob = record.blob, !record.deleted else { throw .deleted(sequence) }
        guard let plaintext = try? self.cipher.open(blob, id: record.id) else { throw .undecryptable(sequence) }
        guard let content = try? DemoRecord(encoded: plaintext) else { throw .malformed(sequence) }
        guard !self.isComplete else { throw .afterManifest(sequence) }
        switch content {
        case .part(let part): try self.take(part)
        case .manifest(let manifest): try self.take(manifest)
        }
        self.nextSequence += 1
        self.counts.records += 1
        self.counts.blobBytes += Int64(blob.readableBytes)
        self.counts.files = self.digest.files
    }

    private mutating func take(_ part: DemoPart) throws(DemoMismatch) {
        var file = self.file ?? OpenFile(path: part.path, bytes: part.fileBytes)
        // By bytes: two names that only look the same are two files.
        guard file.path.utf8.elementsEqual(part.path.utf8), file.bytes == part.fileBytes, file.nextIndex == part.index
        else { throw .misplaced(path: part.path, index: part.index) }
        file.nextIndex += 1
        file.received += Int64(part.data.readableBytes)
        file.hasher.update(part.data)
        self.counts.fileBytes += Int64(part.data.readableBytes)
        switch part.end {
        case nil:
            guard file.received < file.bytes else { throw .size(path: part.path) }
            self.file = file
        case .abandoned:
            self.counts.abandonedFiles += 1
            self.file = nil
        case .complete(let hash):
            guard file.received == file.bytes else { throw .size(path: part.path) }
            guard ByteBuffer(bytes: file.hasher.finalize()) == hash else { throw .hash(path: part.path) }
            self.digest.add(path: part.path, bytes: file.bytes, hash: hash)
            self.file = nil
        }
    }

    private mutating func take(_ manifest: DemoManifest) throws(DemoMismatch) {
        if let file = self.file { throw .unfinished(path: file.path) }
        guard manifest == self.digest.manifest(records: self.nextSequence) else { throw .manifest }
        self.isComplete = true
    }
}

/// What a device has sent, or received and verified.
struct DemoCounts: Hashable, Sendable {
    var files: Int64 = 0
    /// The manifest among them.
    var records: Int64 = 0
    /// Bytes of the files.
    var fileBytes: Int64 = 0
    /// Bytes of the records as the server has them.
    var blobBytes: Int64 = 0
    /// Files that changed while they were read.
    var abandonedFiles: Int64 = 0
    /// Records that other runs left in the space.
    var foreignRecords: Int64 = 0
}
