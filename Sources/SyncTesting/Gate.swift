import Synchronization

/// Holds tasks up until it is opened.
package final class Gate: Sendable {
    private let state = Mutex((isOpen: false, waiting: 0))

    /// Longer than any test needs to open it. A gate that nobody opens lets its tasks go, and ends no run.
    private static let limit: Duration = .seconds(50)

    package init() {}

    package var waitingCount: Int { self.state.withLock { $0.waiting } }

    package func open() { self.state.withLock { $0.isOpen = true } }

    /// Returns when the gate is open or the task is cancelled.
    package func wait() async {
        self.state.withLock { $0.waiting += 1 }
        defer { self.state.withLock { $0.waiting -= 1 } }
        try? await eventually("the gate opens", within: Self.limit) { self.state.withLock { $0.isOpen } }
    }

    /// Returns once somebody waits.
    package func awaitArrival() async throws {
        try await eventually("somebody waits at the gate") { self.waitingCount > 0 }
    }
}
