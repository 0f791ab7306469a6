import SyncProtocol
import Synchronization

/// Every session of the process from its first byte to its last, for shutdown.
final class SessionRegistry: Sendable {
    private struct State {
        var sessions: [ConnectionID: Session] = [:]
        var isShuttingDown = false
        var nextWaiter = 0
        var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
    }

    // Guarded by itself.
    private let state = Mutex(State())

    /// False during shutdown: the session must not start.
    func add(_ session: Session) -> Bool {
        self.state.withLock { state in
            guard !state.isShuttingDown else { return false }
            state.sessions[session.id] = session
            return true
        }
    }

    func remove(_ session: Session) {
        let waiters = self.state.withLock { state -> [CheckedContinuation<Void, Never>] in
            state.sessions[session.id] = nil
            guard state.sessions.isEmpty else { return [] }
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        for waiter in waiters { waiter.resume() }
    }

    /// Admits no session from now on.
    func beginShutdown() { self.state.withLock { $0.isShuttingDown = true } }

    var sessions: [Session] { self.state.withLock { Array($0.sessions.values) } }

    /// Waits until no session is left, or the task is cancelled.
    func waitUntilEmpty() async {
        let id = self.state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isEmpty = self.state.withLock { state in
                    guard !Task.isCancelled, !state.sessions.isEmpty else { return true }
                    state.waiters[id] = continuation
                    return false
                }
                if isEmpty { continuation.resume() }
            }
        } onCancel: {
            let waiter = self.state.withLock { $0.waiters.removeValue(forKey: id) }
            waiter?.resume()
        }
    }
}
