/// What a storage has done and what waits in it, for metrics and for tests of scheduling. The parts are read one after
/// another; they need not fit each other exactly.
package struct StorageStatistics: Hashable, Sendable {
    /// Write transactions committed since the storage was opened.
    package var commits = 0
    /// Pushes whose outcome those transactions decided, conflicts included. More than `commits` under load: group commit.
    package var pushes = 0
    /// Pushes that wait: for room in the queue, in the queue, and in the transaction in progress. New spaces count too where
    /// they wait in the same queue.
    package var pushesQueued = 0
    /// Pulls that hold a connection.
    package var pullsOpen = 0
    /// Pulls that wait for one.
    package var pullsWaiting = 0
    /// How many pushes shared a commit.
    package var batches = BatchSizes()
    /// Connections that the storage may have open, but those that serve one purpose alone.
    package var connections = 0
    /// Those of them that somebody uses.
    package var connectionsInUse = 0

    package init() {}
}

/// A distribution of the pushes of one commit.
package struct BatchSizes: Hashable, Sendable {
    /// Upper bounds of the classes but the last, which has none.
    package static let bounds = [1, 2, 4, 8, 16, 32, 64, 128, 256]

    /// Commits of each class.
    package private(set) var counts = Array(repeating: 0, count: Self.bounds.count + 1)
    /// Pushes of all of them.
    package private(set) var pushes = 0

    package init() {}

    /// Counts one commit; one without pushes is left out.
    package mutating func record(pushes: Int) {
        guard pushes > 0 else { return }
        self.counts[Self.bounds.firstIndex { pushes <= $0 } ?? Self.bounds.count] += 1
        self.pushes += pushes
    }
}
