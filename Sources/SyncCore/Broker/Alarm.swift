import Synchronization

/// Lets one task sleep until a time has passed or somebody rings, whichever comes first. A ring while nobody sleeps ends the
/// next sleep at once; several are one.
final class Alarm: Sendable {
    private struct State {
        var isRung = false
        var sleeper: CheckedContinuation<Void, Never>?
    }

    // Guarded by itself.
    private let state = Mutex(State())

    func ring() {
        let sleeper = self.state.withLock { state in
            state.isRung = state.sleeper == nil
            return state.sleeper.take()
        }
        sleeper?.resume()
    }

    /// Returns at once when the task is cancelled.
    func sleep(atMost duration: Duration, on clock: any Clock<Duration>) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await clock.sleep(for: duration) }
            group.addTask { await self.sleep() }
            await group.next()
            group.cancelAll()
        }
    }

    /// Until somebody rings. Returns at once when the task is cancelled.
    func sleep() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = self.state.withLock { state in
                    guard !state.isRung, !Task.isCancelled else {
                        state.isRung = false
                        return true
                    }
                    state.sleeper = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            self.state.withLock { $0.sleeper.take() }?.resume()
        }
    }
}
