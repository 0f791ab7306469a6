import Logging
package import NIOCore
import SyncAuth
package import SyncProtocol
import Synchronization

/// Presence and events: what the subscribers of a space tell each other, kept in memory or not at all, never logged
/// (docs/contract/rpc.md §12, §13).
///
/// Only who is subscribed to a space is present in it. A subscription can end while its own connection sets presence, so
/// `set` looks again after it has stored: whichever comes last removes the entry, and the last word to the others is a leave.
package final class PresenceRegistry: Sendable {
    // Fixed after init.
    private let broker: Broker
    private let pseudonyms: PresencePseudonyms
    private let elapsed: @Sendable () -> Duration
    private let logger: Logger

    // Guarded by itself.
    private let state = Mutex(State())

    private struct State {
        var table = PresenceTable()
        var isShuttingDown = false
    }

    /// - Parameter elapsed: Time on a clock that only moves forward.
    init(
        broker: Broker, pseudonyms: PresencePseudonyms, elapsed: @escaping @Sendable () -> Duration, logger: Logger
    ) {
        self.broker = broker
        self.pseudonyms = pseudonyms
        self.elapsed = elapsed
        self.logger = logger
    }

    // MARK: - What clients say

    /// Stores or replaces the entry of a connection and tells the other subscribers. Has no effect for too much data, for a
    /// connection that is not subscribed, and in a space that is full of others.
    package func set(_ data: ByteBuffer, of connection: ConnectionID, in space: SpaceID) {
        guard data.readableBytes <= Limits.presenceBytesMax, self.broker.isSubscribed(connection, to: space) else {
            return
        }
        let peer = self.pseudonyms.peer(connection, in: space)
        // A copy: a slice would keep the whole received message.
        let entry = PresenceTable.Entry(
            peer: peer, data: ByteBuffer(bytes: data.readableBytesView), setAt: self.elapsed())
        guard self.state.withLock({ $0.table.set(entry, of: connection, in: space) }) else { return }
        self.announce(entry, of: connection, in: space)
        guard !self.broker.isSubscribed(connection, to: space) else { return }
        _ = self.state.withLock { $0.table.remove(connection, from: space) }
        self.announceLeave(peer, of: space, except: connection)
    }

    /// Removes the entry of a connection that is subscribed, if there is one, and tells the other subscribers.
    package func clear(_ connection: ConnectionID, in space: SpaceID) {
        guard self.broker.isSubscribed(connection, to: space) else { return }
        self.subscriptionEnded(connection, to: space)
    }

    /// Hands an event to the other subscribers. Has no effect for too much data and for a connection that is not subscribed.
    package func send(event data: ByteBuffer, from connection: ConnectionID, to space: SpaceID) {
        guard data.readableBytes <= Limits.eventBytesMax, self.broker.isSubscribed(connection, to: space),
            self.broker.hasSubscribers(of: space, except: connection)
        else { return }
        let notification = PresenceNotification(
            space: space, peer: self.pseudonyms.peer(connection, in: space), data: data)
        self.broker.publish(
            FrameEncoder.notification(method: .event, params: notification), to: space, except: connection)
    }

    /// Who else is present, in any order.
    func peers(in space: SpaceID, except connection: ConnectionID) -> [SubscribeResult.Peer] {
        self.state.withLock { $0.table.peers(in: space, except: connection) }
            .map { SubscribeResult.Peer(peer: $0.peer, data: $0.data) }
    }

    // MARK: - What ends

    /// To be called whenever a subscription has been removed from the broker, for whatever reason.
    package func subscriptionEnded(_ connection: ConnectionID, to space: SpaceID) {
        let departure = self.state.withLock { $0.table.remove(connection, from: space) }
        if let departure { self.announceLeave(departure.peer, of: space, except: connection) }
    }

    /// To be called when a connection has ended, before the broker forgets it.
    func connectionEnded(_ connection: ConnectionID) {
        for departure in self.state.withLock({ $0.table.removeAll(of: connection) }) {
            self.announceLeave(departure.peer, of: departure.space, except: connection)
        }
    }

    /// From now on nobody's leave is announced: everybody leaves (docs/contract/operations.md §6).
    func beginShutdown() { self.state.withLock { $0.isShuttingDown = true } }

    /// Removes the entries that were not set again in time and tells all subscribers, the silent connection included.
    func removeStale() {
        let deadline = self.elapsed() - Limits.presenceStaleAfter
        var count = 0
        for space in self.state.withLock({ $0.table.occupiedSpaces }) {
            let departures = self.state.withLock { $0.table.removeStale(in: space, setUpTo: deadline) }
            count += departures.count
            for departure in departures {
                self.announceLeave(departure.peer, of: space, except: nil)
                // Set again in between: the others have heard of that before the leave.
                let entry = self.state.withLock { $0.table.entry(of: departure.connection, in: space) }
                if let entry { self.announce(entry, of: departure.connection, in: space) }
            }
        }
        if count > 0 { self.logger.debug("stale presence removed", metadata: Logger.metadata([.count: "\(count)"])) }
    }

    /// Spaces in which somebody is present.
    var occupiedSpaces: Int { self.state.withLock { $0.table.occupiedSpaces.count } }

    // MARK: - Frames

    private func announce(_ entry: PresenceTable.Entry, of connection: ConnectionID, in space: SpaceID) {
        guard self.broker.hasSubscribers(of: space, except: connection) else { return }
        let notification = PresenceNotification(space: space, peer: entry.peer, data: entry.data)
        self.broker.publish(
            FrameEncoder.notification(method: .presence, params: notification), to: space, except: connection)
    }

    private func announceLeave(_ peer: String, of space: SpaceID, except connection: ConnectionID?) {
        guard !self.state.withLock({ $0.isShuttingDown }), self.broker.hasSubscribers(of: space, except: connection)
        else { return }
        let notification = PresenceLeaveNotification(space: space, peer: peer)
        self.broker.publish(
            FrameEncoder.notification(method: .presenceLeave, params: notification), to: space, except: connection)
    }
}
