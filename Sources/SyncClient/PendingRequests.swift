import SyncProtocol

/// Requests that have no answer yet. Guarded by its owner's lock; continuations are resumed outside of it.
struct PendingRequests {
    typealias Answer = Result<FramePayload, SyncClientError>

    struct Entry {
        var continuation: CheckedContinuation<FramePayload, any Error>
        /// Takes the chunks of a streaming request.
        var chunks: ChunkChannel?
        /// Ticks until the answer, or the next chunk, is overdue.
        var ticksLeft: Int
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
    mutating func chunkChannel(_ id: String, ticks: Int) -> ChunkChannel? {
        self.entries[id]?.ticksLeft = ticks
        return self.entries[id]?.chunks
    }

    /// Lets one tick pass and removes the overdue ones.
    mutating func tick() -> [Entry] {
        var overdue: [Entry] = []
        for id in self.entries.keys {
            self.entries[id]?.ticksLeft -= 1
            if let entry = self.entries[id], entry.ticksLeft < 0 {
                self.entries[id] = nil
                overdue.append(entry)
            }
        }
        return overdue
    }

    mutating func failAll(_ error: SyncClientError) -> [Entry] {
        self.failure = self.failure ?? error
        let all = Array(self.entries.values)
        self.entries = [:]
        return all
    }
}
