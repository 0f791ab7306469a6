import Synchronization

/// Stands between a client and a server, and cuts the first connections after some bytes of the client's.
enum CuttingProxy {
    /// Runs `body` with the port of a proxy that cuts `cuts` connections, each after `bytes`.
    static func with(
        target: Int, cuts: Int, after bytes: Int, _ body: (Int) async throws -> Void
    ) async throws {
        let left = CutCounter(cuts)
        try await ForwardingProxy.with(
            target: target,
            judge: { isFromClient, total in isFromClient && total > bytes && left.take() ? .cut : .forward }, body)
    }

    private final class CutCounter: Sendable {
        private let left: Mutex<Int>

        init(_ count: Int) { self.left = Mutex(count) }

        func take() -> Bool {
            self.left.withLock { left in
                guard left > 0 else { return false }
                left -= 1
                return true
            }
        }
    }
}
