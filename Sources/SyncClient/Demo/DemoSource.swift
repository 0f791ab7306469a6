import Dispatch
import NIOCore
import SyncProtocol

/// Turns a folder into batches of sealed records, with memory for one batch.
///
/// Reads, hashes and encrypts on a queue of its own, off the threads of the concurrency runtime.
actor DemoSource {
    struct Limits: Hashable, Sendable {
        var partBytesMax = DemoPart.dataBytesMax
        var batchRecordsMax = 100
        /// Two whole parts with their names fit.
        var batchBytesMax = 2_162_688
    }

    /// What a folder holds, found without reading any file.
    struct Summary: Hashable, Sendable {
        var files: Int64 = 0
        var bytes: Int64 = 0
        var skipped = SampledLines()
        /// Nothing is sent when there is one.
        var refused = SampledLines()
    }

    /// One push.
    struct Batch: Sendable {
        var changes: [PushParams.Change] = []
        /// What the batch adds to the counts.
        var counts = DemoCounts()
    }

    private let executor: QueueExecutor
    nonisolated var unownedExecutor: UnownedSerialExecutor { self.executor.asUnownedSerialExecutor() }

    private let cipher: DemoCipher
    private let limits: Limits
    private var walk: FolderWalk
    private var file: FileParts?
    /// Sealed, but too large for the batch that it was made for.
    private var held: Item?
    private var nextSequence: Int64 = 0
    private var digest = DemoDigest()
    private var hasSentManifest = false
    private(set) var changedFiles = SampledLines()

    private struct Item {
        var change: PushParams.Change
        var blobBytes: Int
        var counts: DemoCounts
    }

    init(folder: String, cipher: DemoCipher, limits: Limits = Limits()) throws(DemoError) {
        self.executor = QueueExecutor(label: "demo-source")
        self.cipher = cipher
        self.limits = limits
        self.walk = try FolderWalk(root: folder)
    }

    /// Goes through the whole folder once, to know what is ahead.
    func summarize() throws(DemoError) -> Summary {
        var walk = try FolderWalk(root: self.walk.root)
        var summary = Summary()
        while let entry = walk.next() {
            switch entry {
            case .file(_, let bytes):
                summary.files += 1
                summary.bytes += bytes
            case .skipped(let path, let kind): summary.skipped.add("\(DisplayText.path(path)) is a \(kind)")
            case .refused(let line): summary.refused.add(line)
            }
        }
        return summary
    }

    /// The next push; the last one ends with the manifest; `nil` after it.
    func nextBatch() throws -> Batch? {
        var batch = Batch()
        var bytes = 0
        while batch.changes.count < self.limits.batchRecordsMax {
            try Task.checkCancellation()
            guard let item = try self.held.take() ?? self.nextItem() else { break }
            guard batch.changes.isEmpty || bytes + item.blobBytes <= self.limits.batchBytesMax else {
                self.held = item
                break
            }
            batch.changes.append(item.change)
            batch.counts.add(item.counts)
            bytes += item.blobBytes
        }
        return batch.changes.isEmpty ? nil : batch
    }

    private func nextItem() throws -> Item? {
        if let part = try self.nextPart() {
            var counts = DemoCounts(fileBytes: Int64(part.data.readableBytes))
            switch part.end {
            case nil: break
            case .complete(let hash):
                self.digest.add(path: part.path, bytes: part.fileBytes, hash: hash)
                counts.files = 1
            case .abandoned:
                self.changedFiles.add("\(DisplayText.path(part.path)) changed while it was read; it was left out")
                counts.abandonedFiles = 1
            }
            return try self.seal(.part(part), counts)
        }
        guard !self.hasSentManifest else { return nil }
        self.hasSentManifest = true
        return try self.seal(.manifest(self.digest.manifest(records: self.nextSequence)), DemoCounts())
    }

    private func nextPart() throws(DemoError) -> DemoPart? {
        while true {
            if let part = try self.file?.next() { return part }
            self.file = nil
            guard let entry = self.walk.next() else { return nil }
            switch entry {
            case .file(let path, _):
                self.file = try FileParts(root: self.walk.root, path: path, partBytesMax: self.limits.partBytesMax)
            case .skipped: continue
            case .refused(let line): throw .unsendable([line], count: 1)
            }
        }
    }

    private func seal(_ record: DemoRecord, _ counts: DemoCounts) throws -> Item {
        let id = self.cipher.recordID(self.nextSequence)
        self.nextSequence += 1
        let blob = try self.cipher.seal(record.encoded, id: id)
        var counts = counts
        counts.records = 1
        counts.blobBytes = Int64(blob.readableBytes)
        let change = PushParams.Change(id: id.wireText, blob: blob, expectedCursor: 0, dek: nil)
        return Item(change: change, blobBytes: blob.readableBytes, counts: counts)
    }
}

/// The first few of many lines, and how many there were.
struct SampledLines: Hashable, Sendable {
    static let linesMax = 10

    private(set) var lines: [String] = []
    private(set) var count = 0

    mutating func add(_ line: String) {
        self.count += 1
        if self.lines.count < Self.linesMax { self.lines.append(line) }
    }
}

/// Runs an actor on a queue of its own, where it may wait for the disk.
private final class QueueExecutor: SerialExecutor {
    private let queue: DispatchQueue

    init(label: String) { self.queue = DispatchQueue(label: label) }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        self.queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }
}
