import Synchronization

/// Stands between a server and its database. Once it stalls, it keeps every connection and carries nothing.
final class StallingProxy: Sendable {
    private let isStalled = Atomic(false)

    func stall() { self.isStalled.store(true, ordering: .relaxed) }

    /// Runs `body` with the port of the proxy.
    func run(target: Int, _ body: (Int) async throws -> Void) async throws {
        try await ForwardingProxy.with(
            target: target, judge: { _, _ in self.isStalled.load(ordering: .relaxed) ? .drop : .forward }, body)
    }
}
