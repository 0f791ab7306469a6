import Synchronization

/// A clock that stands still until a test moves it. Starts at zero.
package final class TestClock: Clock, Sendable {
    package struct Instant: InstantProtocol {
        /// Time since the clock was made.
        package var offset: Duration

        package init(offset: Duration) { self.offset = offset }

        package func advanced(by duration: Duration) -> Instant { Instant(offset: self.offset + duration) }

        package func duration(to other: Instant) -> Duration { other.offset - self.offset }

        package static func < (lhs: Instant, rhs: Instant) -> Bool { lhs.offset < rhs.offset }
    }

    private struct Sleeper {
        var deadline: Instant
        var continuation: CheckedContinuation<Void, any Error>
    }

    private struct Watcher {
        var isSatisfied: @Sendable (_ remaining: [Duration]) -> Bool
        var continuation: CheckedContinuation<Void, Never>
    }

    private struct State {
        var now = Instant(offset: .zero)
        var nextID = 0
        var sleepers: [Int: Sleeper] = [:]
        var watchers: [Int: Watcher] = [:]

        /// Time until each sleeper's deadline.
        var remaining: [Duration] { self.sleepers.values.map { self.now.duration(to: $0.deadline) } }

        mutating func takeSatisfiedWatchers() -> [Watcher] {
            let remaining = self.remaining
            let satisfied = self.watchers.filter { $0.value.isSatisfied(remaining) }
            for id in satisfied.keys { self.watchers[id] = nil }
            return Array(satisfied.values)
        }
    }

    private let state = Mutex(State())

    package init() {}

    package var now: Instant { self.state.withLock { $0.now } }
    package var minimumResolution: Duration { .zero }

    package func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        try Task.checkCancellation()
        let id = self.nextID()
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let (isDue, watchers) = self.state.withLock { state in
                    guard !Task.isCancelled, state.now < deadline else { return (true, [Watcher]()) }
                    state.sleepers[id] = Sleeper(deadline: deadline, continuation: continuation)
                    return (false, state.takeSatisfiedWatchers())
                }
                if isDue { continuation.resume(with: Result { try Task.checkCancellation() }) }
                for watcher in watchers { watcher.continuation.resume() }
            }
        } onCancel: {
            let sleeper = self.state.withLock { $0.sleepers.removeValue(forKey: id) }
            sleeper?.continuation.resume(throwing: CancellationError())
        }
    }

    /// Moves the time on and wakes every sleeper whose deadline has come, earliest first.
    package func advance(by duration: Duration) {
        let due = self.state.withLock { state in
            state.now = state.now.advanced(by: duration)
            let due = state.sleepers.filter { $0.value.deadline <= state.now }
            for id in due.keys { state.sleepers[id] = nil }
            return due.values.sorted { $0.deadline < $1.deadline }
        }
        for sleeper in due { sleeper.continuation.resume() }
    }

    /// Waits until at least `count` tasks sleep on this clock.
    package func waitForSleepers(_ count: Int) async {
        await self.waitUntil { $0.count >= count }
    }

    /// Waits until some task sleeps for at least `duration` from now.
    package func waitForSleeper(ofAtLeast duration: Duration) async {
        await self.waitUntil { $0.contains { $0 >= duration } }
    }

    /// Waits until some task sleeps for exactly `duration` from now.
    package func waitForSleeper(of duration: Duration) async {
        await self.waitUntil { $0.contains(duration) }
    }

    /// Returns early when the task is cancelled.
    private func waitUntil(_ isSatisfied: @escaping @Sendable (_ remaining: [Duration]) -> Bool) async {
        let id = self.nextID()
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isSatisfiedNow = self.state.withLock { state in
                    guard !Task.isCancelled, !isSatisfied(state.remaining) else { return true }
                    state.watchers[id] = Watcher(isSatisfied: isSatisfied, continuation: continuation)
                    return false
                }
                if isSatisfiedNow { continuation.resume() }
            }
        } onCancel: {
            let watcher = self.state.withLock { $0.watchers.removeValue(forKey: id) }
            watcher?.continuation.resume()
        }
    }

    private func nextID() -> Int {
        self.state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
    }
}
