import HeapModule
import SyncAuth
package import SyncProtocol

/// One registered connection as the broker sees it.
package final class Subscriber: Sendable {
    package let id: ConnectionID
    package let connection: any FrameConnection
    package let mailbox: MailboxKey

    package init(id: ConnectionID, connection: any FrameConnection, mailbox: MailboxKey) {
        self.id = id
        self.connection = connection
        self.mailbox = mailbox
    }
}

/// A subscription that the server has ended.
struct EndedSubscription {
    let subscriber: Subscriber
    let space: SpaceID
}

/// Names one attempt to subscribe, from when it takes effect to when it is answered.
struct SubscriptionTicket: Hashable, Sendable {
    fileprivate let number: UInt64
}

/// Who is connected and who watches what, on which authority: indexes that always agree. Pure; `Broker` keeps it under its
/// lock.
///
/// The subscribers of a space lie in one array, so that a broadcast copies a reference and nothing else. Each subscriber
/// knows its slot in every such array; leaving swaps the last one into the slot.
struct SubscriptionTable {
    private struct Entry {
        let subscriber: Subscriber
        var seats: [SpaceID: Seat] = [:]
    }

    private struct Seat {
        /// Index of the subscriber in the array of the space.
        var slot: Int
        /// Never empty, the oldest first. The newest one counts; the others are what the seat falls back to when an attempt
        /// to subscribe again comes to nothing before it is answered.
        var authorities: [Authority]

        var delegations: Int { self.authorities.count { $0.delegation != nil } }
    }

    private struct Authority {
        let ticket: SubscriptionTicket
        /// `nil` for the connection's personal space.
        let delegation: VerifiedDelegation?
    }

    private struct Expiry: Comparable, Hashable {
        /// Unix seconds; over when they have passed.
        let second: UInt64
        let connection: ConnectionID
        let space: SpaceID

        static func < (lhs: Expiry, rhs: Expiry) -> Bool { lhs.second < rhs.second }
    }

    private var entries: [ConnectionID: Entry] = [:]
    private var watchers: [SpaceID: [Subscriber]] = [:]
    private var mailboxes: [ExactText: [Subscriber]] = [:]
    private var limitCounts: [ExactText: Int] = [:]
    /// Those of all delegations that somebody watches on, and some of others.
    private var expiries = Heap<Expiry>()
    /// Delegations that somebody watches on, once for each.
    private var delegations = 0
    private var nextTicket: UInt64 = 0

    /// Registered connections.
    var count: Int { self.entries.count }
    /// Spaces with at least one subscriber.
    var watchedSpaces: Int { self.watchers.count }
    /// The second after which some subscription may be over.
    var nextExpiry: UInt64? { self.expiries.min?.second }
    /// For tests: what waits to expire, outdated ones included.
    var expiryCount: Int { self.expiries.count }

    /// False, and nothing changed, when the mailbox has `limit` connections already.
    mutating func register(_ subscriber: Subscriber, limit: Int?) -> Bool {
        let key = ExactText(subscriber.mailbox.limitKey)
        let count = self.limitCounts[key, default: 0]
        if let limit, count >= limit { return false }
        guard self.entries.updateValue(Entry(subscriber: subscriber), forKey: subscriber.id) == nil else {
            preconditionFailure("A connection registers once.")
        }
        self.limitCounts[key] = count + 1
        self.mailboxes[ExactText(subscriber.mailbox.deliveryKey), default: []].append(subscriber)
        return true
    }

    /// False when the connection is not registered (any more).
    @discardableResult
    mutating func deregister(_ id: ConnectionID) -> Bool {
        guard let entry = self.entries.removeValue(forKey: id) else { return false }
        for (space, seat) in entry.seats { self.vacate(seat, in: space) }
        let mailbox = entry.subscriber.mailbox
        let (limitKey, deliveryKey) = (ExactText(mailbox.limitKey), ExactText(mailbox.deliveryKey))
        if let count = self.limitCounts[limitKey] { self.limitCounts[limitKey] = count > 1 ? count - 1 : nil }
        self.mailboxes[deliveryKey]?.removeAll { $0.id == id }
        if self.mailboxes[deliveryKey]?.isEmpty == true { self.mailboxes[deliveryKey] = nil }
        return true
    }

    /// Lets a connection watch a space from now on. When it does already, the authority that it has stays behind the new one
    /// until the attempt is accepted.
    ///
    /// - Returns: `nil` when the connection is not registered.
    mutating func subscribe(
        _ id: ConnectionID, to space: SpaceID, on delegation: VerifiedDelegation?
    ) -> SubscriptionTicket? {
        guard let entry = self.entries[id] else { return nil }
        let ticket = SubscriptionTicket(number: self.nextTicket)
        self.nextTicket += 1
        let authority = Authority(ticket: ticket, delegation: delegation)
        if entry.seats[space] == nil {
            self.watchers[space, default: []].append(entry.subscriber)
            let slot = self.watchers[space, default: []].count - 1
            self.entries[id]?.seats[space] = Seat(slot: slot, authorities: [authority])
        } else {
            self.entries[id]?.seats[space]?.authorities.append(authority)
        }
        if let delegation { self.expect(Expiry(second: delegation.expiresAt, connection: id, space: space)) }
        return ticket
    }

    /// Puts the authority of this attempt in the place of those that the connection had for the space. Has no effect once it
    /// is gone.
    mutating func accept(_ ticket: SubscriptionTicket, of id: ConnectionID, to space: SpaceID) {
        guard self.entries[id]?.seats[space]?.authorities.contains(where: { $0.ticket == ticket }) == true else {
            return
        }
        self.dropAuthorities(of: id, to: space) { $0.ticket.number < ticket.number }
    }

    /// Takes the authority of this attempt back: the connection watches the space on the one before, if it has one.
    mutating func withdraw(_ ticket: SubscriptionTicket, of id: ConnectionID, to space: SpaceID) {
        self.dropAuthorities(of: id, to: space) { $0.ticket == ticket }
    }

    mutating func unsubscribe(_ id: ConnectionID, from spaces: some Sequence<SpaceID>) {
        for space in spaces {
            guard let seat = self.entries[id]?.seats.removeValue(forKey: space) else { continue }
            self.vacate(seat, in: space)
        }
    }

    func isSubscribed(_ id: ConnectionID, to space: SpaceID) -> Bool { self.entries[id]?.seats[space] != nil }

    func subscribers(of space: SpaceID) -> [Subscriber] { self.watchers[space] ?? [] }

    func connections(ofMailbox key: String) -> [Subscriber] { self.mailboxes[ExactText(key)] ?? [] }

    func connectionCount(ofLimitKey key: String) -> Int { self.limitCounts[ExactText(key), default: 0] }

    /// Ends every subscription to `space` that rests on a chain with the token `cid`.
    mutating func endSubscriptions(restingOn cid: String, in space: SpaceID) -> [EndedSubscription] {
        let ended = self.subscribers(of: space).filter { subscriber in
            self.dropAuthorities(of: subscriber.id, to: space) { $0.delegation?.rests(on: cid, in: space) == true }
        }
        return ended.map { EndedSubscription(subscriber: $0, space: space) }
    }

    /// Names under which the delegations that somebody watches on can be revoked.
    var tokens: [SpaceID: Set<String>] {
        var tokens: [SpaceID: Set<String>] = [:]
        for entry in self.entries.values {
            for (space, seat) in entry.seats {
                for delegation in seat.authorities.compactMap(\.delegation) {
                    tokens[space, default: []].formUnion(delegation.revocableCIDs)
                }
            }
        }
        return tokens
    }

    /// Ends every subscription whose delegation is not valid any more.
    ///
    /// - Parameter now: Unix seconds.
    mutating func endExpired(at now: UInt64) -> [EndedSubscription] {
        var ended: [EndedSubscription] = []
        while let next = self.expiries.min, next.second < now {
            _ = self.expiries.popMin()
            guard let subscriber = self.entries[next.connection]?.subscriber,
                self.dropAuthorities(
                    of: next.connection, to: next.space, where: { $0.delegation?.expiresAt == next.second })
            else { continue }
            ended.append(EndedSubscription(subscriber: subscriber, space: next.space))
        }
        return ended
    }

    /// - Returns: True when none was left, which has ended the subscription.
    @discardableResult
    private mutating func dropAuthorities(
        of id: ConnectionID, to space: SpaceID, where isDropped: (Authority) -> Bool
    ) -> Bool {
        guard let seat = self.entries[id]?.seats[space] else { return false }
        let kept = seat.authorities.filter { !isDropped($0) }
        guard !kept.isEmpty else {
            self.unsubscribe(id, from: [space])
            return true
        }
        self.delegations -= seat.delegations - kept.count { $0.delegation != nil }
        self.entries[id]?.seats[space]?.authorities = kept
        return false
    }

    private mutating func vacate(_ seat: Seat, in space: SpaceID) {
        self.delegations -= seat.delegations
        guard let last = self.watchers[space]?.popLast() else { return }
        if let count = self.watchers[space]?.count, seat.slot < count {
            self.watchers[space]?[seat.slot] = last
            self.entries[last.id]?.seats[space]?.slot = seat.slot
        }
        if self.watchers[space]?.isEmpty == true { self.watchers[space] = nil }
    }

    /// Outdated expiries stay until their second, which may be months away: when they are the greater part, all are thrown
    /// out together.
    private mutating func expect(_ expiry: Expiry) {
        self.delegations += 1
        self.expiries.insert(expiry)
        guard self.expiries.count > 2 * self.delegations + 64 else { return }
        var seen: Set<Expiry> = []
        self.expiries = Heap(self.expiries.unordered.filter { self.isCurrent($0) && seen.insert($0).inserted })
    }

    private func isCurrent(_ expiry: Expiry) -> Bool {
        self.entries[expiry.connection]?.seats[expiry.space]?.authorities
            .contains { $0.delegation?.expiresAt == expiry.second } == true
    }
}
