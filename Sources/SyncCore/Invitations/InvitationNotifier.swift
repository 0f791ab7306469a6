import NIOCore
import SyncProtocol
import Synchronization

/// Tells the connections of a mailbox that something has arrived, some time after it has: who watches the traffic of both
/// sides does not learn from the moment who invited whom (docs/contract/rpc.md §14, `invitation`).
///
/// The number of notifications that wait is bounded; a server that ends drops them.
final class InvitationNotifier: Sendable {
    private struct Pending: Sendable {
        let mailbox: String
        let delay: Duration
    }

    // Fixed after init.
    private let broker: Broker
    private let clock: any Clock<Duration>
    private let delay: @Sendable () -> Duration
    private let pendingMax: Int
    private let frame = FrameEncoder.notification(method: .invitation, params: EmptyMap())
    private let stream: AsyncStream<Pending>
    private let continuation: AsyncStream<Pending>.Continuation

    // Guarded by itself: notifications that have been scheduled and neither sent nor dropped.
    private let pending = Mutex(0)

    /// - Parameter delay: Drawn for each notification.
    init(
        broker: Broker, clock: any Clock<Duration>, delay: @escaping @Sendable () -> Duration,
        pendingMax: Int = Limits.invitationNotificationsPendingMax
    ) {
        self.broker = broker
        self.clock = clock
        self.delay = delay
        self.pendingMax = pendingMax
        (self.stream, self.continuation) = AsyncStream.makeStream()
    }

    /// - Returns: False when too many wait already: nobody will be told.
    @discardableResult
    func schedule(_ mailbox: String) -> Bool {
        let isAccepted = self.pending.withLock { pending in
            guard pending < self.pendingMax else { return false }
            pending += 1
            return true
        }
        if isAccepted { self.continuation.yield(Pending(mailbox: mailbox, delay: self.delay())) }
        return isAccepted
    }

    /// Sends what is scheduled until the task is cancelled. To be run once.
    func run() async {
        await withDiscardingTaskGroup { group in
            for await pending in self.stream {
                group.addTask { await self.send(pending) }
            }
        }
    }

    private func send(_ pending: Pending) async {
        defer { self.pending.withLock { $0 -= 1 } }
        do { try await self.clock.sleep(for: pending.delay) } catch { return }
        self.broker.publish(self.frame, toMailbox: pending.mailbox)
    }
}
