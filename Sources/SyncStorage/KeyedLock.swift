package import SyncProtocol
import Synchronization

/// Locks by key within one process, handed on in the order in which they were asked for. A key that nobody holds takes no
/// memory.
package final class KeyedLock<Key: Hashable & Sendable>: Sendable {
    private typealias Waiter = CheckedContinuation<Bool, Never>

    private struct State {
        /// Those who wait for each key that is held, longest waiting first.
        var held: [Key: [(ticket: UInt64, waiter: Waiter)]] = [:]
        var nextTicket: UInt64 = 1
        /// Tickets that were given up before their waiter was there.
        var abandoned: Set<UInt64> = []
    }

    private let state = Mutex(State())

    package init() {}

    /// Keys that are held.
    package var count: Int { self.state.withLock { $0.held.count } }

    /// Those who wait for a key.
    package var waitingCount: Int { self.state.withLock { $0.held.values.reduce(0) { $0 + $1.count } } }

    /// Runs `body` while nobody else runs one with an equal key.
    ///
    /// - Parameter waitLimit: How long to wait for the lock; a cancelled task gives up at once. `nil`: as long as it takes,
    ///   cancelled or not.
    /// - Throws: `StorageError.unavailable` when the wait is given up; what `body` throws.
    package func withLock<Result: Sendable>(
        _ key: Key, within waitLimit: Duration?, clock: any Clock<Duration> = ContinuousClock(),
        _ body: () async throws -> Result
    ) async throws -> Result {
        guard await self.acquire(key, within: waitLimit, clock) else { throw StorageError.unavailable }
        defer { self.release(key) }
        return try await body()
    }

    private func acquire(_ key: Key, within waitLimit: Duration?, _ clock: any Clock<Duration>) async -> Bool {
        let ticket = self.state.withLock { state -> UInt64? in
            guard state.held[key] != nil else {
                state.held[key] = []
                return nil
            }
            defer { state.nextTicket += 1 }
            return state.nextTicket
        }
        guard let ticket else { return true }
        guard let waitLimit else { return await self.wait(for: key, ticket) }
        let isGranted = await withTaskGroup { group in
            group.addTask {
                // Cancelled when the wait is over, or with the task that waits.
                try? await clock.sleep(for: waitLimit)
                self.giveUp(key, ticket)
            }
            defer { group.cancelAll() }
            return await self.wait(for: key, ticket)
        }
        self.state.withLock { _ = $0.abandoned.remove(ticket) }
        return isGranted
    }

    private func wait(for key: Key, _ ticket: UInt64) async -> Bool {
        await withCheckedContinuation { waiter in
            let isGranted = self.state.withLock { state -> Bool? in
                if state.abandoned.remove(ticket) != nil { return false }
                guard state.held[key] != nil else {
                    state.held[key] = []
                    return true
                }
                state.held[key]?.append((ticket, waiter))
                return nil
            }
            if let isGranted { waiter.resume(returning: isGranted) }
        }
    }

    private func giveUp(_ key: Key, _ ticket: UInt64) {
        let waiter = self.state.withLock { state -> Waiter? in
            guard let index = state.held[key]?.firstIndex(where: { $0.ticket == ticket }) else {
                state.abandoned.insert(ticket)
                return nil
            }
            return state.held[key]?.remove(at: index).waiter
        }
        waiter?.resume(returning: false)
    }

    private func release(_ key: Key) {
        let next = self.state.withLock { state -> Waiter? in
            guard let waiting = state.held[key], !waiting.isEmpty else {
                state.held[key] = nil
                return nil
            }
            return state.held[key]?.removeFirst().waiter
        }
        next?.resume(returning: true)
    }
}

/// A file of a space, as key of its lock.
package struct FileKey: Hashable, Sendable {
    package var space: SpaceID
    package var file: FileID

    package init(space: SpaceID, file: FileID) {
        self.space = space
        self.file = file
    }
}
