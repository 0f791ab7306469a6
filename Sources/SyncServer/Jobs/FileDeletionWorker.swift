import Logging
import Metrics
import SyncProtocol
import SyncStorage

/// What one run of the worker did.
struct FileDeletionOutcome: Hashable, Sendable {
    /// Objects that were deleted.
    var objects = 0
    /// Bytes of them.
    var bytes: Int64 = 0
    /// Entries that were put off.
    var failures = 0

    static func += (left: inout Self, right: Self) {
        left.objects += right.objects
        left.bytes += right.bytes
        left.failures += right.failures
    }
}

/// Deletes the objects that the queue of the database names (docs/contract/storage.md §6.4, Δ-S7): those of rows that have been
/// removed. An entry is completed when its object is gone, or has a row again; otherwise it is tried again later, by this
/// process or another.
struct FileDeletionWorker: Sendable {
    /// Entries of one page of the queue.
    static let pageMax = 100
    /// Deletions at once.
    static let concurrency = 4
    /// Until the second attempt; doubled for each further one.
    static let retryDelayMin: Duration = .seconds(10)
    static let retryDelayMax: Duration = .seconds(600)

    private let storage: any FileStore & FileDeletionStore
    private let store: any BlobStore
    private let logger: Logger
    private let reclaimedBytes: Counter

    init(
        storage: any FileStore & FileDeletionStore, store: any BlobStore, logger: Logger,
        metrics: any MetricsFactory = MetricsSystem.factory
    ) {
        self.storage = storage
        self.store = store
        self.logger = logger
        self.reclaimedBytes = Counter(
            label: "file_bytes_total", dimensions: [("direction", "reclaimed")], factory: metrics)
    }

    /// Works through all entries that are due.
    ///
    /// - Throws: What the database throws; the entries that were not done stay.
    func run() async throws -> FileDeletionOutcome {
        var total = FileDeletionOutcome()
        while true {
            let due = try await self.storage.dueFileDeletions(limit: Self.pageMax)
            guard !due.isEmpty else { return total }
            let outcome = try await self.work(on: due)
            total += outcome
            guard due.count == Self.pageMax else { return total }
            try Task.checkCancellation()
        }
    }

    private func work(on deletions: [FileDeletion]) async throws -> FileDeletionOutcome {
        try await withThrowingTaskGroup(of: FileDeletionOutcome.self) { group in
            var outcome = FileDeletionOutcome()
            for (index, deletion) in deletions.enumerated() {
                if index >= Self.concurrency, let done = try await group.next() { outcome += done }
                group.addTask { try await self.work(on: deletion) }
            }
            for try await done in group { outcome += done }
            return outcome
        }
    }

    private func work(on deletion: FileDeletion) async throws -> FileDeletionOutcome {
        let key = deletion.key
        let bytes: Int64?
        do {
            bytes = try await self.storage.withFileLock(key.file, in: key.space) {
                // Uploaded again meanwhile.
                if try await self.storage.fileExists(key.file, in: key.space) { return nil as Int64? }
                guard let bytes = try await self.store.length(of: key) else { return nil }
                try await self.store.delete(key)
                return bytes
            }
        } catch let error as BlobError {
            // A shutdown: the entry stays as it is.
            guard !Task.isCancelled else { throw error }
            self.logger.warning(
                "blob deletion failed",
                metadata: ["space_id": "\(key.space)", "file_id": "\(key.file)", "error": "\(error)"])
            try await self.storage.postponeFileDeletion(deletion, by: Self.retryDelay(after: deletion.attempts))
            return FileDeletionOutcome(failures: 1)
        }
        try await self.storage.completeFileDeletion(deletion)
        guard let bytes else { return FileDeletionOutcome() }
        self.reclaimedBytes.increment(by: bytes)
        return FileDeletionOutcome(objects: 1, bytes: bytes)
    }

    /// - Parameter attempts: earlier ones.
    static func retryDelay(after attempts: Int32) -> Duration {
        min(Self.retryDelayMax, Self.retryDelayMin * (1 << max(0, min(attempts, 10))))
    }
}
