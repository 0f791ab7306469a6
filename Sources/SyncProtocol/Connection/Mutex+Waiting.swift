package import Synchronization

extension Mutex where Value: Sendable {
    /// A continuation of a waiting task, kept in the state that the mutex guards.
    package typealias WaitingPlace = WritableKeyPath<Value, CheckedContinuation<Void, Never>?> & Sendable

    /// Puts the calling task to wait at `place` unless what it waits for is true already. It goes on when somebody takes the
    /// continuation out of its place and resumes it, or when the task is cancelled: the caller looks at the state again.
    ///
    /// At most one task waits at a place.
    package borrowing func wait(at place: any WaitingPlace, until isReady: (Value) -> Bool) async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isReadyNow = self.withLock { state in
                    guard !Task.isCancelled, !isReady(state) else { return true }
                    state[keyPath: place] = continuation
                    return false
                }
                if isReadyNow { continuation.resume() }
            }
        } onCancel: {
            let waiting = self.withLock { $0[keyPath: place].take() }
            waiting?.resume()
        }
    }
}
