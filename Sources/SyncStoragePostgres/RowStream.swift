import SyncStorage
import Synchronization

/// Rows on their way from the event thread to one consumer: when `PostgresLimits.streamedBytesMax` bytes wait, the socket
/// is not read until the consumer has taken them.
final class RowStream: Sendable {
    private struct State {
        var rows: [PostgresRows] = []
        var bytes = 0
        var end: Result<Void, PostgresFailure>?
        var consumer: CheckedContinuation<Void, Never>?
        /// The producer has stopped because of `isFull`.
        var isStopped = false
    }

    private let state = Mutex(State())

    /// Asked by the producer, who stops when it is true.
    var isFull: Bool {
        self.state.withLock { state in
            state.isStopped = state.bytes >= PostgresLimits.streamedBytesMax
            return state.isStopped
        }
    }

    func append(_ rows: PostgresRows) {
        let consumer = self.state.withLock { state in
            state.rows.append(rows)
            state.bytes += rows.byteCount
            return state.consumer.take()
        }
        consumer?.resume()
    }

    /// Nothing follows the rows that have come.
    func finish(_ end: Result<Void, PostgresFailure>) {
        let consumer = self.state.withLock { state in
            state.end = state.end ?? end
            return state.consumer.take()
        }
        consumer?.resume()
    }

    /// Everything that has come, at least one; `nil` at the end. The caller resumes the producer when `mustResume` is true.
    func next() async throws(PostgresFailure) -> (rows: [PostgresRows], mustResume: Bool)? {
        while true {
            let taken = self.state.withLock { state -> ([PostgresRows], Bool)? in
                guard !state.rows.isEmpty else { return nil }
                defer {
                    state.rows = []
                    state.bytes = 0
                    state.isStopped = false
                }
                return (state.rows, state.isStopped)
            }
            if let taken { return taken }
            if let end = self.state.withLock({ $0.rows.isEmpty ? $0.end : nil }) {
                try end.get()
                return nil
            }
            await withCheckedContinuation { continuation in
                let mayGoOn = self.state.withLock { state in
                    if !state.rows.isEmpty || state.end != nil { return true }
                    state.consumer = continuation
                    return false
                }
                if mayGoOn { continuation.resume() }
            }
        }
    }
}
