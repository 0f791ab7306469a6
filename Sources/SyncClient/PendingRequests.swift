import SyncProtocol

/// Requests that have no answer yet. Guarded by its owner's lock; continuations are resumed outside of it.
struct PendingRequests {
    typealias Answer = Result<FramePayload, SyncClientError>

    struct Entry {
        var continuation: CheckedContinuation<FramePayload, any Error>
        /// Takes the chunks of a streaming request.
        var chunks: ChunkChannel?
        /// When the answer, or the next chunk, is due.
        var deadline: ContinuousClock.Instant
    }

    private var entries: [String: Entry] = [:]
    private var nextNumber: UInt64 = 1
    /// Set once the connection has ended: later requests fail with it.
    private(set) var failure: SyncClientError?

    /// Unique within the connection.
    mutating func makeID() -> String {
        defer { self.nextNumber += 1 }
        return "rpc-\(self.nextNumber)"
    }

    mutating func add(_ entry: Entry, id: String) { self.entries[id] = entry }

    mutating func remove(_ id: String) -> Entry? { self.entries.removeValue(forKey: id) }

    /// The channel of a streaming request, whose time starts anew with each chunk.
    mutating func chunkChannel(_ id: String, deadline: ContinuousClock.Instant) -> ChunkChannel? {
        self.entries[id]?.deadline = deadline
        return self.entries[id]?.chunks
    }

    mutating func removeOverdue(at now: ContinuousClock.Instant) -> [Entry] {
        let overdue = self.entries.filter { $0.value.deadline < now }
        for id in overdue.keys { self.entries[id] = nil }
        return Array(overdue.values)
    }

    mutating func failAll(_ error: SyncClientError) -> [Entry] {
        self.failure = self.failure ?? error
        let all = Array(self.entries.values)
        self.entries = [:]
        return all
    }
}
