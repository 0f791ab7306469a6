import FoundationEssentials
import Synchronization

/// A time that a test sets.
final class Time: Sendable {
    private let time: Mutex<Date>

    init(_ time: Date) { self.time = Mutex(time) }

    var now: Date {
        get { self.time.withLock { $0 } }
        set { self.time.withLock { $0 = newValue } }
    }
}

/// How far each of several pushers has come.
final class Progress: Sendable {
    private struct State {
        var counts: [Int]
        var leastWhenFirstEnded: Int?
    }

    private let state: Mutex<State>

    init(pushers: Int) { self.state = Mutex(State(counts: Array(repeating: 0, count: pushers))) }

    func advance(_ pusher: Int) {
        self.state.withLock { state in
            state.counts[pusher] += 1
            if state.counts[pusher] == 40, state.leastWhenFirstEnded == nil {
                state.leastWhenFirstEnded = state.counts.min()
            }
        }
    }

    /// Pushes of the slowest when the first had done 40.
    var leastWhenFirstEnded: Int { self.state.withLock { $0.leastWhenFirstEnded ?? 0 } }
}
