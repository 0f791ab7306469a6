package import Logging
package import NIOCore
import SyncAuth
package import SyncProtocol
import Synchronization

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Knows every open connection of this process and which spaces it watches, and fans notifications out to them
/// (docs/contract/wire.md §11, §12).
///
/// Nothing that sends waits. Decisions are made on a snapshot taken under the lock; frames are queued outside it. A
/// subscription to somebody else's space rests on a delegation and ends with it: when it expires, and when it is revoked
/// (architecture C3, C4).
package final class Broker: Sendable {
    private struct State {
        var table = SubscriptionTable()
        var flights = PublicationFlights()
        /// Ended by time, and nobody has been told.
        var expired: [EndedSubscription] = []
    }

    // Fixed after init.
    private let connectionsPerMailboxMax: Int?
    private let revocations: RevocationLog
    private let unixTime: @Sendable () -> Double
    private let metrics: CoreMetrics
    private let logger: Logger

    // Guarded by itself.
    private let state = Mutex(State())

    /// Rings when there is something to collect, or to collect earlier than was thought.
    let expiryAlarm = Alarm()

    /// - Parameters:
    ///   - revocations: The same log as that of the authorizer whose grants come here.
    ///   - unixTime: Seconds since 1970.
    package init(
        connectionsPerMailboxMax: Int?, revocations: RevocationLog = RevocationLog(),
        unixTime: @escaping @Sendable () -> Double = { Date().timeIntervalSince1970 }, metrics: CoreMetrics,
        logger: Logger
    ) {
        self.connectionsPerMailboxMax = connectionsPerMailboxMax
        self.revocations = revocations
        self.unixTime = unixTime
        self.metrics = metrics
        self.logger = logger
    }

    /// - Returns: False when the mailbox has its maximum of connections already; existing ones are not evicted.
    package func register(_ subscriber: Subscriber) -> Bool {
        let isRegistered = self.state.withLock {
            $0.table.register(subscriber, limit: self.connectionsPerMailboxMax)
        }
        if isRegistered { self.metrics.connectionOpened() }
        return isRegistered
    }

    /// Forgets the connection: its subscriptions, its place in the mailbox index and in the mailbox count.
    ///
    /// - Returns: False when it was not registered (any more); then nothing changes.
    @discardableResult
    package func deregister(_ id: ConnectionID) -> Bool {
        let isRemoved = self.changeTable { $0.table.deregister(id) }
        if isRemoved { self.metrics.connectionClosed() }
        return isRemoved
    }

    package func unsubscribe(_ id: ConnectionID, from spaces: some Sequence<SpaceID>) {
        self.changeTable { $0.table.unsubscribe(id, from: spaces) }
    }

    package func isSubscribed(_ id: ConnectionID, to space: SpaceID) -> Bool {
        self.changeTable { $0.table.isSubscribed(id, to: space) }
    }

    /// True when `publish` with the same arguments would find somebody: lets a caller save the encoding.
    package func hasSubscribers(of space: SpaceID, except sender: ConnectionID?) -> Bool {
        let subscribers = self.state.withLock { $0.table.subscribers(of: space) }
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
        let (subscribers, flight) = self.changeTable { state in
            (state.table.subscribers(of: space), state.flights.takeOff(to: space))
        }
        let delivered = self.offer(frame, to: subscribers, except: sender)
        let waiting = self.state.withLock { $0.flights.land(flight) }
        for continuation in waiting { continuation.resume() }
        return delivered
    }

    /// As `publish(_:to:except:)`, to all connections of one mailbox.
    @discardableResult
    package func publish(_ frame: ByteBuffer, toMailbox deliveryKey: String) -> Int {
        self.offer(frame, to: self.state.withLock { $0.table.connections(ofMailbox: deliveryKey) }, except: nil)
    }

    /// Queues one encoded frame on these connections, whatever they are subscribed to.
    func send(_ frame: ByteBuffer, to subscribers: [Subscriber]) {
        _ = self.offer(frame, to: subscribers, except: nil)
    }

    /// Registered connections, and spaces that one of them is subscribed to.
    package var census: (connections: Int, spaces: Int) {
        self.state.withLock { ($0.table.count, $0.table.watchedSpaces) }
    }

    /// Registered connections that count against the limit of `mailbox`.
    package func connectionCount(of mailbox: MailboxKey) -> Int {
        self.state.withLock { $0.table.connectionCount(ofLimitKey: mailbox.limitKey) }
    }

    private func offer(_ frame: ByteBuffer, to subscribers: [Subscriber], except sender: ConnectionID?) -> Int {
        guard !subscribers.isEmpty else { return 0 }
        let notification = Broadcast(frame)
        var delivered = 0
        for subscriber in subscribers where subscriber.id != sender {
            switch subscriber.connection.offer(notification) {
            case .queued:
                delivered += 1
            case .ended:
                self.deregister(subscriber.id)
            case .full:
                self.deregister(subscriber.id)
                subscriber.connection.closeDiscardingQueue(.slowConsumer)
                self.metrics.slowConsumerClosed()
                self.logger.warning(
                    "Subscriber reads too slowly", metadata: Logger.metadata([.connectionID: subscriber.id.wireText]))
            }
        }
        return delivered
    }

    /// Runs one change of the table, behind the end of what has expired, and keeps the gauge of watched spaces in step.
    private func changeTable<Result>(_ change: (inout State) -> Result) -> Result {
        let now = UInt64(max(0, self.unixTime()))
        let (result, difference, hasExpired) = self.state.withLock { state in
            let before = state.table.watchedSpaces
            var hasExpired = false
            if let next = state.table.nextExpiry, next < now {
                let expired = state.table.endExpired(at: now)
                state.expired += expired
                hasExpired = !expired.isEmpty
            }
            let result = change(&state)
            return (result, state.table.watchedSpaces - before, hasExpired)
        }
        if difference != 0 { self.metrics.watchedSpacesChanged(by: difference) }
        if hasExpired { self.expiryAlarm.ring() }
        return result
    }
}

// MARK: - Subscriptions and their authority

extension Broker {
    /// What a connection wants to watch, and why it may.
    struct Request: Sendable {
        let space: SpaceID
        /// `nil` for the connection's personal space.
        let delegation: VerifiedDelegation?
        /// Taken before the delegation was checked.
        let mark: RevocationMark
    }

    /// A subscription that is in effect and has not been answered.
    package struct Attempt: Sendable {
        fileprivate let request: Request
        /// `nil` for a connection that is not registered.
        fileprivate let ticket: SubscriptionTicket?
    }

    /// Every frame published after this call reaches the connection, in every space whose grant still stands: one that has
    /// been revoked since it was given is not taken, and a revocation from now on ends the subscription.
    ///
    /// A space that the connection watches already, it watches in any case: the authority that it has is replaced when the
    /// attempt is settled.
    ///
    /// - Returns: Why a grant was not taken, in the order of the grants, or what is to be settled.
    package func subscribe(_ id: ConnectionID, to grants: [ReadGrant]) -> [Result<Attempt, AuthorizationError>] {
        self.subscribe(id, to: grants.map { Request(space: $0.space, delegation: $0.delegation, mark: $0.mark) })
    }

    func subscribe(_ id: ConnectionID, to requests: [Request]) -> [Result<Attempt, AuthorizationError>] {
        let (attempts, isSooner) = self.changeTable { state in
            let expiryBefore = state.table.nextExpiry
            let attempts: [Result<Attempt, AuthorizationError>] = requests.map { request in
                // Compared under the lock that a revocation takes to end subscriptions, so that none slips in behind it.
                if let objection = self.revocations.objection(to: request.delegation, since: request.mark) {
                    return .failure(objection)
                }
                let ticket = state.table.subscribe(id, to: request.space, on: request.delegation)
                return .success(Attempt(request: request, ticket: ticket))
            }
            let expiry = state.table.nextExpiry
            return (attempts, expiry.map { $0 < expiryBefore ?? .max } ?? false)
        }
        if isSooner { self.expiryAlarm.ring() }
        return attempts
    }

    /// Accepts attempts, each of which then counts in place of what the connection had for the space, and takes others back,
    /// which leaves it what it had (docs/contract/rpc.md §3.1).
    ///
    /// - Parameters:
    ///   - attempts: What `subscribe` has returned, and whether each has succeeded.
    ///   - answer: Queues the answer to the request. Must not wait. Gets, in the order of the attempts, why the grant does not
    ///     stand. A revocation in one of the accepted spaces returns before this call or after `answer`.
    package func settle(
        _ id: ConnectionID, _ attempts: [(attempt: Result<Attempt, AuthorizationError>, hasSucceeded: Bool)],
        answer: ([AuthorizationError?]) -> Void
    ) {
        let (objections, flights) = self.changeTable { state in
            var flights: [UInt64] = []
            let objections: [AuthorizationError?] = attempts.map { attempt, hasSucceeded in
                let (request, ticket): (Request, SubscriptionTicket?)
                switch attempt {
                case .failure(let objection): return objection
                case .success(let attempt): (request, ticket) = (attempt.request, attempt.ticket)
                }
                let objection = self.revocations.objection(to: request.delegation, since: request.mark)
                guard let ticket else { return objection }
                if hasSucceeded, objection == nil {
                    state.table.accept(ticket, of: id, to: request.space)
                    flights.append(state.flights.takeOff(to: request.space))
                } else {
                    state.table.withdraw(ticket, of: id, to: request.space)
                }
                return objection
            }
            return (objections, flights)
        }
        answer(objections)
        let waiting = self.state.withLock { state in flights.flatMap { state.flights.land($0) } }
        for continuation in waiting { continuation.resume() }
    }

    /// Ends every subscription to `space` that rests on a chain with the token `cid`, and every lease on one. The store must
    /// know of the revocation already.
    ///
    /// When this returns, no frame of the space is under way to one of them, and no grant given before lets it in again.
    func revoke(_ cid: String, in space: SpaceID) async -> [EndedSubscription] {
        let ended = self.endSubscriptions(restingOn: cid, in: space)
        await withCheckedContinuation { continuation in
            let isWaiting = self.state.withLock { $0.flights.wait(for: space, continuation) }
            if !isWaiting { continuation.resume() }
        }
        return ended
    }

    /// As `revoke`, but does not wait for what is under way.
    func endSubscriptions(restingOn cid: String, in space: SpaceID) -> [EndedSubscription] {
        // In this order: whoever subscribes compares under the lock that the second takes.
        self.revocations.append(cid, in: space)
        return self.changeTable { $0.table.endSubscriptions(restingOn: cid, in: space) }
    }

    /// The tokens that subscriptions rest on.
    var tokens: [SpaceID: Set<String>] { self.state.withLock { $0.table.tokens } }

    /// The subscriptions that have ended by time since the last call; each is reported once.
    func takeExpired() -> [EndedSubscription] {
        self.changeTable { state in
            defer { state.expired = [] }
            return state.expired
        }
    }

    /// The second after which some subscription may be over.
    var nextExpiry: UInt64? { self.state.withLock { $0.table.nextExpiry } }
}
