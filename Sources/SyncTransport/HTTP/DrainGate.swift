import NIOCore
import Synchronization

/// Keeps connections without a request open during a shutdown as long as others have work in progress, requests or WebSockets.
/// So a probe on a kept-alive connection hears 503 and not the end of the stream (docs/contract/operations.md §6 rows 1 and 2).
package final class DrainGate: Sendable {
    private struct State {
        /// Connections with a request in progress, and WebSockets.
        var busy = 0
        var held: [ObjectIdentifier: any Channel] = [:]
    }

    private let state = Mutex(State())

    package init() {}

    func begin() { self.state.withLock { $0.busy += 1 } }

    func end() {
        let released = self.state.withLock { state -> [any Channel] in
            state.busy -= 1
            guard state.busy == 0 else { return [] }
            defer { state.held = [:] }
            return Array(state.held.values)
        }
        for channel in released { channel.close(promise: nil) }
    }

    /// A shutdown has begun: closes a connection without a request when no other has work left, at once or later.
    func hold(_ channel: any Channel) {
        let isLast = self.state.withLock { state in
            if state.busy > 0 { state.held[ObjectIdentifier(channel)] = channel }
            return state.busy == 0
        }
        if isLast { channel.close(promise: nil) }
    }

    /// The connection is gone.
    func forget(_ channel: any Channel) {
        self.state.withLock { _ = $0.held.removeValue(forKey: ObjectIdentifier(channel)) }
    }
}
