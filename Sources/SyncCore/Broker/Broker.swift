package import Logging
package import NIOCore
package import SyncProtocol
import Synchronization

/// Knows every open connection of this process and which spaces it watches, and fans notifications out to them
/// (docs/contract/wire.md §11, §12).
///
/// No call waits. Decisions are made on a snapshot taken under the lock; frames are queued outside it.
package final class Broker: Sendable {
    // Fixed after init.
    private let connectionsPerMailboxMax: Int?
    private let metrics: CoreMetrics
    private let logger: Logger

    // Guarded by itself.
    private let table = Mutex(SubscriptionTable())

    package init(connectionsPerMailboxMax: Int?, metrics: CoreMetrics, logger: Logger) {
        self.connectionsPerMailboxMax = connectionsPerMailboxMax
        self.metrics = metrics
        self.logger = logger
    }

    /// - Returns: False when the mailbox has its maximum of connections already; existing ones are not evicted.
    package func register(_ subscriber: Subscriber) -> Bool {
        let isRegistered = self.table.withLock { $0.register(subscriber, limit: self.connectionsPerMailboxMax) }
        if isRegistered { self.metrics.connectionOpened() }
        return isRegistered
    }

    /// Forgets the connection: its subscriptions, its place in the mailbox index and in the mailbox count.
    ///
    /// - Returns: False when it was not registered (any more); then nothing changes.
    @discardableResult
    package func deregister(_ id: ConnectionID) -> Bool {
        let isRemoved = self.changeTable { $0.deregister(id) }
        if isRemoved { self.metrics.connectionClosed() }
        return isRemoved
    }

    /// Every frame published after this call reaches the connection. Does nothing for one that is not registered.
    ///
    /// - Returns: The spaces that the connection did not watch before.
    @discardableResult
    package func subscribe(_ id: ConnectionID, to spaces: some Sequence<SpaceID>) -> [SpaceID] {
        self.changeTable { $0.subscribe(id, to: spaces) }
    }

    package func unsubscribe(_ id: ConnectionID, from spaces: some Sequence<SpaceID>) {
        self.changeTable { $0.unsubscribe(id, from: spaces) }
    }

    package func isSubscribed(_ id: ConnectionID, to space: SpaceID) -> Bool {
        self.table.withLock { $0.isSubscribed(id, to: space) }
    }

    /// True when `publish` with the same arguments would find somebody: lets a caller save the encoding.
    package func hasSubscribers(of space: SpaceID, except sender: ConnectionID?) -> Bool {
        let subscribers = self.table.withLock { $0.subscribers(of: space) }
        return subscribers.contains { $0.id != sender }
    }

    /// Queues one encoded frame on every subscriber of `space` but the sender. Calls for one space made one after another
    /// reach each subscriber in that order.
    ///
    /// A subscriber whose queue is full is removed and closed with 4006, one that has ended is removed; the others are
    /// unaffected.
    ///
    /// - Returns: The number of connections that the frame was queued on.
    @discardableResult
    package func publish(_ frame: ByteBuffer, to space: SpaceID, except sender: ConnectionID?) -> Int {
        self.offer(frame, to: self.table.withLock { $0.subscribers(of: space) }, except: sender)
    }

    /// As `publish(_:to:except:)`, to all connections of one mailbox.
    @discardableResult
    package func publish(_ frame: ByteBuffer, toMailbox deliveryKey: String) -> Int {
        self.offer(frame, to: self.table.withLock { $0.connections(ofMailbox: deliveryKey) }, except: nil)
    }

    /// Registered connections that count against the limit of `mailbox`.
    package func connectionCount(of mailbox: MailboxKey) -> Int {
        self.table.withLock { $0.connectionCount(ofLimitKey: mailbox.limitKey) }
    }

    private func offer(_ frame: ByteBuffer, to subscribers: [Subscriber], except sender: ConnectionID?) -> Int {
        var delivered = 0
        for subscriber in subscribers where subscriber.id != sender {
            switch subscriber.connection.offer(frame) {
            case .queued:
                delivered += 1
            case .ended:
                self.deregister(subscriber.id)
            case .full:
                self.deregister(subscriber.id)
                subscriber.connection.closeDiscardingQueue(.slowConsumer)
                self.logger.warning(
                    "Subscriber reads too slowly", metadata: Logger.metadata([.connectionID: subscriber.id.wireText]))
            }
        }
        return delivered
    }

    /// Runs one change of the table and keeps the gauge of watched spaces in step.
    private func changeTable<Result>(_ change: (inout SubscriptionTable) -> Result) -> Result {
        let (result, difference) = self.table.withLock { table in
            let before = table.watchedSpaces
            let result = change(&table)
            return (result, table.watchedSpaces - before)
        }
        if difference != 0 { self.metrics.watchedSpacesChanged(by: difference) }
        return result
    }
}
