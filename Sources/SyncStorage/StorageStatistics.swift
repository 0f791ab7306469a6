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

    package init() {}
}
