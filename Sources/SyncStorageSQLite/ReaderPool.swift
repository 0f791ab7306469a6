import GRDB
import Logging
import SyncStorage
import Synchronization

/// The connections that read.
final class ReaderPool: Sendable {
    typealias StateMachine = ReaderPoolStateMachine<CheckedContinuation<ReaderPoolOutcome, Never>>
    typealias Use = StateMachine.Use

    let connections: [SQLiteConnection]
    private let clock: any Clock<Duration>
    /// Time since the pool was made.
    private let age: @Sendable () -> Duration
    private let state: Mutex<StateMachine>

    init(_ connections: [SQLiteConnection], waitLimit: Duration, clock: any Clock<Duration>) {
        self.connections = connections
        self.clock = clock
        self.age = Self.age(by: clock)
        self.state = Mutex(StateMachine(readers: connections.count, waitLimit: waitLimit))
    }

    private static func age<C: Clock<Duration>>(by clock: C) -> @Sendable () -> Duration {
        let birth = clock.now
        return { birth.duration(to: clock.now) }
    }

    func addStatistics(to statistics: inout StorageStatistics) {
        self.state.withLock { state in
            statistics.pullsOpen = state.pullsOpen
            statistics.pullsWaiting = state.pullsWaiting
            statistics.connections = self.connections.count
            statistics.connectionsInUse = state.leased
        }
    }

    /// Runs one read on a connection of its own.
    func query<Value: Sendable>(
        while action: StaticString, _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(StorageError) -> Value {
        let lease = try await self.lease(for: .query)
        defer { self.release(lease) }
        return try await lease.connection.perform(while: action, body)
    }

    struct Lease: Sendable {
        let connection: SQLiteConnection
        fileprivate let number: Int
        fileprivate let use: Use
    }

    /// - Throws: `.unavailable` when no connection comes free in time, when the task is cancelled meanwhile, and when the
    ///   pool is closed.
    func lease(for use: Use) async throws(StorageError) -> Lease {
        let outcome =
            switch self.state.withLock({ $0.request(for: use, at: self.age()) }) {
            case .decided(let outcome): outcome
            case .wait(let ticket, let timer): await self.wait(with: ticket, timer)
            }
        guard case .leased(let number) = outcome else { throw .unavailable }
        return Lease(connection: self.connections[number], number: number, use: use)
    }

    func release(_ lease: Lease) {
        let wakeup = self.state.withLock { $0.release(lease.number, from: lease.use) }
        if let wakeup { wakeup.waiter.resume(returning: wakeup.outcome) }
    }

    private func wait(with ticket: StateMachine.Ticket, _ timer: Duration?) async -> StateMachine.Outcome {
        if let timer { self.startTimer(timer) }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let outcome = self.state.withLock { $0.attach(continuation, to: ticket) }
                if let outcome { continuation.resume(returning: outcome) }
            }
        } onCancel: {
            let wakeup = self.state.withLock { $0.giveUp(ticket) }
            if let wakeup { wakeup.waiter.resume(returning: wakeup.outcome) }
        }
    }

    /// One timer for all who wait: one for each would stay with the system until its time, long after the wait is over.
    private func startTimer(_ age: Duration) {
        Task {
            var next: Duration? = age
            while let due = next {
                try? await self.clock.sleep(for: due - self.age())
                let expiry = self.state.withLock { $0.expire(at: self.age()) }
                for wakeup in expiry.wakeups { wakeup.waiter.resume(returning: wakeup.outcome) }
                next = expiry.timer
            }
        }
    }

    /// Closes every connection, whatever still uses it: pulls fail at their next page.
    func close(logger: Logger) async {
        for wakeup in self.state.withLock({ $0.close() }) { wakeup.waiter.resume(returning: wakeup.outcome) }
        for connection in self.connections {
            do {
                try await connection.close()
            } catch {
                logger.error("SQLite reader did not close cleanly", metadata: ["error": "\(error)"])
            }
        }
    }
}
