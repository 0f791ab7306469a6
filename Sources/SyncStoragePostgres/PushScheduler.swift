import DequeModule
import SyncProtocol
import SyncStorage

/// Decides which pushes share a transaction (architecture W2). Pure: time comes in as a value, work goes out as batches.
///
/// A space has one transaction in flight at a time, so that its cursors are reported in order. A push for an idle space
/// starts at once while a writer is free; otherwise it waits, and the next free writer takes all that waits, of several
/// spaces, up to the limits of a batch.
struct PushScheduler<Waiter: Sendable>: Sendable {
    struct Entry: Sendable {
        var push: Push
        var bytes: Int
        /// When it is no longer worth while to begin with it.
        var deadline: ContinuousClock.Instant
        var waiter: Waiter
    }

    struct Batch: Sendable {
        /// Pushes of one space stand in arrival order, and no record of a space occurs twice.
        var entries: [Entry] = []
        /// Waited longer than they may; nothing was done for them. They came before `entries` of their space.
        var expired: [Entry] = []

        var isEmpty: Bool { self.entries.isEmpty && self.expired.isEmpty }
    }

    private struct SpaceQueue: Sendable {
        var waiting: Deque<Entry> = []
        var isInFlight = false
    }

    private var spaces: [SpaceID: SpaceQueue] = [:]
    /// Spaces that wait for a writer, in the order of their first push.
    private var ready: Deque<SpaceID> = []
    private var writersFree: Int
    private let writers: Int
    private(set) var isClosed = false

    /// - Parameter writers: Transactions at once, 1 or more.
    init(writers: Int) {
        self.writers = writers
        self.writersFree = writers
    }

    var isIdle: Bool { self.writersFree == self.writers && self.ready.isEmpty }

    /// Pushes that have not been reported.
    private(set) var count = 0

    /// - Returns: A batch to run now, with the new push alone in it; `nil` when it waits.
    mutating func add(_ entry: Entry, at now: ContinuousClock.Instant) -> Batch? {
        let space = entry.push.space
        self.count += 1
        self.spaces[space, default: SpaceQueue()].waiting.append(entry)
        if self.spaces[space]?.isInFlight == false, self.spaces[space]?.waiting.count == 1 { self.ready.append(space) }
        return self.nextBatch(at: now)
    }

    /// The batch has been reported.
    ///
    /// - Returns: The next batch for its writer.
    mutating func finished(_ batch: Batch, at now: ContinuousClock.Instant) -> Batch? {
        for space in Set((batch.entries + batch.expired).map(\.push.space)) {
            guard var queue = self.spaces[space] else { continue }
            queue.isInFlight = false
            if queue.waiting.isEmpty {
                self.spaces[space] = nil
            } else {
                self.spaces[space] = queue
                self.ready.append(space)
            }
        }
        self.count -= batch.entries.count + batch.expired.count
        self.writersFree += 1
        return self.nextBatch(at: now)
    }

    /// Refuses nothing by itself: the owner adds no more pushes.
    mutating func close() { self.isClosed = true }

    private mutating func nextBatch(at now: ContinuousClock.Instant) -> Batch? {
        guard self.writersFree > 0 else { return nil }
        var batch = Batch()
        var bytes = 0
        while let space = self.ready.first, batch.entries.count < PostgresLimits.batchPushesMax {
            let taken = self.take(from: space, into: &batch, &bytes, at: now)
            guard taken else { break }
            self.ready.removeFirst()
        }
        guard !batch.isEmpty else { return nil }
        self.writersFree -= 1
        return batch
    }

    /// - Returns: Whether the space is in the batch now; if not, the batch is full.
    private mutating func take(
        from space: SpaceID, into batch: inout Batch, _ bytes: inout Int, at now: ContinuousClock.Instant
    ) -> Bool {
        guard var queue = self.spaces[space] else { return true }
        var records: Set<RecordID> = []
        var isTaken = false
        while let entry = queue.waiting.first, batch.entries.count < PostgresLimits.batchPushesMax {
            if entry.deadline < now {
                batch.expired.append(entry)
            } else {
                let fits = bytes + entry.bytes <= PostgresLimits.batchBytesMax || batch.entries.isEmpty
                guard fits, self.adds(entry, to: &records, isAlone: queue.waiting.count == 1 && records.isEmpty) else {
                    break
                }
                batch.entries.append(entry)
                bytes += entry.bytes
            }
            queue.waiting.removeFirst()
            isTaken = true
        }
        queue.isInFlight = isTaken
        self.spaces[space] = queue
        return isTaken
    }

    /// Notes the records of a push, unless one of them is noted already: the later push has to see what the earlier did.
    private func adds(_ entry: Entry, to records: inout Set<RecordID>, isAlone: Bool) -> Bool {
        if isAlone { return true }
        let changes = entry.push.changes.changes
        guard records.isEmpty || !changes.contains(where: { records.contains($0.id) }) else { return false }
        for change in changes { records.insert(change.id) }
        return true
    }
}
