import DequeModule
import SyncProtocol
import SyncStorage

/// Decides which pushes share a transaction (architecture W2), and when other writes in their spaces have theirs. Pure: time
/// comes in as a value, work goes out as batches.
///
/// A space has one transaction in flight at a time, so that its cursors are reported in order. A push for an idle space
/// starts at once while a writer is free; otherwise it waits, and the next free writer takes all that waits, of several
/// spaces when there are more of them than free writers, up to the limits of a batch. Beyond the limits of the queue a
/// push waits for room first, in the order of arrival. Any other write in a space waits as a push does, and is a batch by
/// itself.
struct PushScheduler<Waiter: Sendable>: Sendable {
    struct Entry: Sendable {
        enum Write: Sendable {
            case push(Push)
            /// Runs in a transaction of its own when its turn has come, and reports by itself.
            case alone(run: @Sendable () async -> Void)
        }

        let space: SpaceID
        let write: Write
        let waiter: Waiter
        /// What it counts in the queue and in a batch: blobs, DEKs, and a share for each change.
        let bytes: Int
        /// When it is no longer worth while to begin with it.
        let deadline: ContinuousClock.Instant

        var push: Push? { if case .push(let push) = self.write { push } else { nil } }

        init(_ push: Push, deadline: ContinuousClock.Instant, waiter: Waiter) {
            self.space = push.space
            self.write = .push(push)
            self.waiter = waiter
            self.bytes =
                push.changes.payloadBytes + push.changes.changes.count * PostgresLimits.changeOverheadBytes
                + (push.creator?.utf8.count ?? 0)
            self.deadline = deadline
        }

        /// - Parameter bytes: What `run` holds in memory, about.
        init(
            in space: SpaceID, bytes: Int, deadline: ContinuousClock.Instant, waiter: Waiter,
            run: @escaping @Sendable () async -> Void
        ) {
            self.space = space
            self.write = .alone(run: run)
            self.waiter = waiter
            self.bytes = bytes
            self.deadline = deadline
        }
    }

    struct Batch: Sendable {
        /// Pushes: those of one space stand in arrival order, and no record of a space occurs twice. Or one other write.
        var entries: [Entry] = []
        /// Waited longer than they may; nothing was done for them. They came before `entries` of their space.
        var expired: [Entry] = []

        fileprivate var bytes = 0

        var isEmpty: Bool { self.entries.isEmpty && self.expired.isEmpty }
    }

    private struct SpaceQueue: Sendable {
        var waiting: Deque<Entry> = []
        var isInFlight = false
    }

    private var spaces: [SpaceID: SpaceQueue] = [:]
    /// Spaces that wait for a writer, in the order of their first push.
    private var ready: Deque<SpaceID> = []
    /// Pushes for which there is no room in the queues of the spaces.
    private var outside: Deque<Entry> = []
    /// Of the pushes that are in a queue or in a batch.
    private var admittedCount = 0
    private var admittedBytes = 0
    private var writersFree: Int
    private let writers: Int
    private(set) var isClosed = false

    /// - Parameter writers: Transactions at once, 1 or more.
    init(writers: Int) {
        self.writers = writers
        self.writersFree = writers
    }

    var isIdle: Bool { self.count == 0 && self.writersFree == self.writers }

    /// Pushes that have not been reported.
    var count: Int { self.admittedCount + self.outside.count }

    /// Adds a push at the end.
    ///
    /// - Returns: Batches to run now, one at most; none when the push waits.
    mutating func add(_ entry: Entry, at now: ContinuousClock.Instant) -> [Batch] {
        self.outside.append(entry)
        return self.nextBatches(at: now)
    }

    /// The batch has been reported: its writer is free.
    ///
    /// - Returns: Batches to run now.
    mutating func finished(_ batch: Batch, at now: ContinuousClock.Instant) -> [Batch] {
        for entries in [batch.entries, batch.expired] {
            self.admittedCount -= entries.count
            self.admittedBytes -= entries.reduce(0) { $0 + $1.bytes }
        }
        for entry in batch.expired + batch.entries {
            let space = entry.space
            guard var queue = self.spaces[space], queue.isInFlight else { continue }
            queue.isInFlight = false
            if queue.waiting.isEmpty {
                self.spaces[space] = nil
            } else {
                self.spaces[space] = queue
                self.ready.append(space)
            }
        }
        self.writersFree += 1
        return self.nextBatches(at: now)
    }

    /// Refuses nothing by itself: the owner adds no more pushes.
    mutating func close() { self.isClosed = true }

    private mutating func admit() {
        while let entry = self.outside.first,
            self.admittedCount < PostgresLimits.queuedPushesMax,
            self.admittedBytes + entry.bytes <= PostgresLimits.queuedBytesMax || self.admittedCount == 0
        {
            self.outside.removeFirst()
            self.admittedCount += 1
            self.admittedBytes += entry.bytes
            let space = entry.space
            self.spaces[space, default: SpaceQueue()].waiting.append(entry)
            if let queue = self.spaces[space], !queue.isInFlight, queue.waiting.count == 1 { self.ready.append(space) }
        }
    }

    private mutating func nextBatches(at now: ContinuousClock.Instant) -> [Batch] {
        self.admit()
        var batches: [Batch] = []
        while self.writersFree > 0, !self.ready.isEmpty {
            self.writersFree -= 1
            batches.append(self.nextBatch(at: now))
        }
        return batches
    }

    /// One space while there is a writer for each that is ready, else as many as fit.
    private mutating func nextBatch(at now: ContinuousClock.Instant) -> Batch {
        let spacesMax = self.writersFree + 1 >= self.ready.count ? 1 : self.ready.count
        var batch = Batch()
        var spaces = 0
        while spaces < spacesMax, let space = self.ready.first, self.take(from: space, into: &batch, at: now) {
            self.ready.removeFirst()
            spaces += 1
        }
        return batch
    }

    /// - Returns: Whether something of the space is in the batch now; if not, the batch is full.
    private mutating func take(
        from space: SpaceID, into batch: inout Batch, at now: ContinuousClock.Instant
    ) -> Bool {
        guard var queue = self.spaces[space] else { return true }
        if case .alone? = batch.entries.first?.write { return false }
        var records: Set<RecordID> = []
        var isTaken = false
        while let entry = queue.waiting.first, batch.entries.count < PostgresLimits.batchPushesMax {
            if entry.deadline < now {
                batch.expired.append(entry)
            } else if case .alone = entry.write {
                // What is in the batch goes before it.
                guard batch.entries.isEmpty else { break }
                batch.entries.append(entry)
                queue.waiting.removeFirst()
                isTaken = true
                break
            } else {
                let fits =
                    batch.entries.isEmpty || batch.bytes + entry.bytes <= PostgresLimits.batchBytesMax
                let isAlone = records.isEmpty && queue.waiting.count == 1
                guard fits, isAlone || Self.note(entry, in: &records) else { break }
                batch.entries.append(entry)
                batch.bytes += entry.bytes
            }
            queue.waiting.removeFirst()
            isTaken = true
        }
        queue.isInFlight = isTaken
        self.spaces[space] = queue
        return isTaken
    }

    /// Notes the records of a push, unless one of them is noted already: the later push has to see what the earlier did.
    private static func note(_ entry: Entry, in records: inout Set<RecordID>) -> Bool {
        let changes = entry.push?.changes.changes ?? []
        guard records.isEmpty || !changes.contains(where: { records.contains($0.id) }) else { return false }
        for change in changes { records.insert(change.id) }
        return true
    }
}
