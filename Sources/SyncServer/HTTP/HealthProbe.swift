import Synchronization

/// Asks the database for a sign of life, at most once at a time however often `/health` is called, and never lets a caller
/// wait longer than the time limit: not even for a database call that cannot be cancelled.
final class HealthProbe: Sendable {
    private struct State {
        var waiters: [UInt64: CheckedContinuation<Bool, Never>] = [:]
        var nextID: UInt64 = 0
    }

    private let ping: @Sendable () async throws -> Void
    private let timeout: Duration
    private let clock: any Clock<Duration>
    private let state = Mutex(State())
    private let demand: AsyncStream<Void>
    private let demandContinuation: AsyncStream<Void>.Continuation

    init(timeout: Duration, clock: any Clock<Duration>, ping: @escaping @Sendable () async throws -> Void) {
        self.timeout = timeout
        self.clock = clock
        self.ping = ping
        (self.demand, self.demandContinuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Runs until the task is cancelled.
    func run() async {
        for await _ in self.demand {
            guard self.state.withLock({ !$0.waiters.isEmpty }) else { continue }
            let isAlive: Bool
            do {
                try await self.ping()
                isAlive = true
            } catch {
                isAlive = false
            }
            self.resumeAll(returning: isAlive)
        }
        self.resumeAll(returning: false)
    }

    /// Whether the database answers within the time limit.
    func check() async -> Bool {
        await withTaskGroup(of: Bool.self) { group in
            group.addTask { await self.wait() }
            group.addTask {
                try? await self.clock.sleep(for: self.timeout)
                return false
            }
            defer { group.cancelAll() }
            return await group.next() ?? false
        }
    }

    private func wait() async -> Bool {
        let id = self.state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isCancelled = self.state.withLock { state in
                    if !Task.isCancelled { state.waiters[id] = continuation }
                    return Task.isCancelled
                }
                if isCancelled { continuation.resume(returning: false) } else { self.demandContinuation.yield() }
            }
        } onCancel: {
            self.state.withLock { $0.waiters.removeValue(forKey: id) }?.resume(returning: false)
        }
    }

    private func resumeAll(returning isAlive: Bool) {
        let waiters = self.state.withLock { state in
            defer { state.waiters = [:] }
            return state.waiters
        }
        for waiter in waiters.values { waiter.resume(returning: isAlive) }
    }
}
