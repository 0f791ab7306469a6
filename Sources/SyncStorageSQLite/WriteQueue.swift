import DequeModule

/// What waits for the one writer, in arrival order: a bounded queue, and before it the callers that wait for room in it.
///
/// Decides only; whoever holds it starts the writer and settles what comes out.
struct WriteQueue<Write> {
    enum Admission: Equatable {
        /// The writer was idle and must be started.
        case start
        /// The writer is running and will come to it.
        case queued
        /// The storage is closed.
        case refused
    }

    struct Batch {
        /// Waited longer than they may; nothing was done for them. They came before `writes`.
        var expired: [Write] = []
        /// For one transaction. May be empty.
        var writes: [Write] = []
    }

    private struct Entry {
        var write: Write
        var bytes: Int
        var deadline: ContinuousClock.Instant
    }

    private var queued: Deque<Entry> = []
    private var queuedBytes = 0
    private var outside: Deque<Entry> = []
    private var inProgress = 0
    private var isRunning = false
    private(set) var isClosed = false

    /// Writes that have not been settled.
    var count: Int { self.queued.count + self.outside.count + self.inProgress }

    /// - Parameters:
    ///   - bytes: What the write holds in memory, about.
    ///   - deadline: When it is no longer worth while to begin with it.
    mutating func add(_ write: Write, bytes: Int, deadline: ContinuousClock.Instant) -> Admission {
        guard !self.isClosed else { return .refused }
        let entry = Entry(write: write, bytes: bytes, deadline: deadline)
        if self.outside.isEmpty, self.hasRoom(for: entry) {
            self.enqueue(entry)
        } else {
            self.outside.append(entry)
        }
        if self.isRunning { return .queued }
        self.isRunning = true
        return .start
    }

    /// What the writer does next, called when the batch before has been settled; `nil`: nothing, it is idle from now on.
    mutating func nextBatch(at now: ContinuousClock.Instant) -> Batch? {
        var batch = Batch()
        var bytes = 0
        while let entry = self.queued.first {
            if entry.deadline < now {
                batch.expired.append(entry.write)
            } else {
                let fits = bytes + entry.bytes <= SQLiteLimits.batchBytesMax || batch.writes.isEmpty
                guard fits, batch.writes.count < SQLiteLimits.batchWritesMax else { break }
                batch.writes.append(entry.write)
                bytes += entry.bytes
            }
            self.queued.removeFirst()
            self.queuedBytes -= entry.bytes
            self.admit()
        }
        self.inProgress = batch.writes.count + batch.expired.count
        if self.inProgress > 0 { return batch }
        self.isRunning = false
        return nil
    }

    /// Refuses everything from now on.
    ///
    /// - Returns: Whether the writer is idle. If not, it will finish what is queued.
    mutating func close() -> Bool {
        self.isClosed = true
        return !self.isRunning
    }

    private mutating func admit() {
        while let next = self.outside.first, self.hasRoom(for: next) {
            self.outside.removeFirst()
            self.enqueue(next)
        }
    }

    private mutating func enqueue(_ entry: Entry) {
        self.queued.append(entry)
        self.queuedBytes += entry.bytes
    }

    private func hasRoom(for entry: Entry) -> Bool {
        guard !self.queued.isEmpty else { return true }
        return self.queued.count < SQLiteLimits.queuedWritesMax
            && self.queuedBytes + entry.bytes <= SQLiteLimits.queuedBytesMax
    }
}
