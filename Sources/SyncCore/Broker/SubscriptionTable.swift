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
        /// `nil` for the connection's personal space.
        var delegation: VerifiedDelegation?
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
    private var mailboxes: [String: [Subscriber]] = [:]
    private var limitCounts: [String: Int] = [:]
    /// Every delegated seat, and some that have been left or got another authority since.
    private var expiries = Heap<Expiry>()
    private var delegatedSeats = 0

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
        let key = subscriber.mailbox.limitKey
        let count = self.limitCounts[key, default: 0]
        if let limit, count >= limit { return false }
        guard self.entries.updateValue(Entry(subscriber: subscriber), forKey: subscriber.id) == nil else {
            preconditionFailure("A connection registers once.")
        }
        self.limitCounts[key] = count + 1
        self.mailboxes[subscriber.mailbox.deliveryKey, default: []].append(subscriber)
        return true
    }

    /// False when the connection is not registered (any more).
    @discardableResult
    mutating func deregister(_ id: ConnectionID) -> Bool {
        guard let entry = self.entries.removeValue(forKey: id) else { return false }
        for (space, seat) in entry.seats { self.vacate(seat, in: space) }
        let mailbox = entry.subscriber.mailbox
        if let count = self.limitCounts[mailbox.limitKey] {
            self.limitCounts[mailbox.limitKey] = count > 1 ? count - 1 : nil
        }
        self.mailboxes[mailbox.deliveryKey]?.removeAll { $0.id == id }
        if self.mailboxes[mailbox.deliveryKey]?.isEmpty == true { self.mailboxes[mailbox.deliveryKey] = nil }
        return true
    }

    /// A subscription that exists gets the new authority in place of the one it has.
    ///
    /// - Returns: False when the connection watched the space already, or is not registered.
    mutating func subscribe(_ id: ConnectionID, to space: SpaceID, on delegation: VerifiedDelegation?) -> Bool {
        guard let entry = self.entries[id] else { return false }
        let seat = entry.seats[space]
        let slot = seat?.slot ?? self.watchers[space]?.count ?? 0
        if seat == nil { self.watchers[space, default: []].append(entry.subscriber) }
        if seat?.delegation != nil { self.delegatedSeats -= 1 }
        self.entries[id]?.seats[space] = Seat(slot: slot, delegation: delegation)
        if let delegation { self.expect(Expiry(second: delegation.expiresAt, connection: id, space: space)) }
        return seat == nil
    }

    mutating func unsubscribe(_ id: ConnectionID, from spaces: some Sequence<SpaceID>) {
        for space in spaces {
            guard let seat = self.entries[id]?.seats.removeValue(forKey: space) else { continue }
            self.vacate(seat, in: space)
        }
    }

    func isSubscribed(_ id: ConnectionID, to space: SpaceID) -> Bool { self.entries[id]?.seats[space] != nil }

    func subscribers(of space: SpaceID) -> [Subscriber] { self.watchers[space] ?? [] }

    func connections(ofMailbox key: String) -> [Subscriber] { self.mailboxes[key] ?? [] }

    func connectionCount(ofLimitKey key: String) -> Int { self.limitCounts[key, default: 0] }

    /// Ends every subscription to `space` that rests on a chain with the token `cid`.
    mutating func endSubscriptions(restingOn cid: String, in space: SpaceID) -> [EndedSubscription] {
        let ended = self.subscribers(of: space).filter { subscriber in
            self.entries[subscriber.id]?.seats[space]?.delegation?.rests(on: cid, in: space) == true
        }
        for subscriber in ended { self.unsubscribe(subscriber.id, from: [space]) }
        return ended.map { EndedSubscription(subscriber: $0, space: space) }
    }

    /// Ends every subscription whose delegation is not valid any more.
    ///
    /// - Parameter now: Unix seconds.
    mutating func endExpired(at now: UInt64) -> [EndedSubscription] {
        var ended: [EndedSubscription] = []
        while let next = self.expiries.min, next.second < now {
            _ = self.expiries.popMin()
            guard self.isCurrent(next), let subscriber = self.entries[next.connection]?.subscriber else { continue }
            self.unsubscribe(next.connection, from: [next.space])
            ended.append(EndedSubscription(subscriber: subscriber, space: next.space))
        }
        return ended
    }

    private mutating func vacate(_ seat: Seat, in space: SpaceID) {
        if seat.delegation != nil { self.delegatedSeats -= 1 }
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
        self.delegatedSeats += 1
        self.expiries.insert(expiry)
        guard self.expiries.count > 2 * self.delegatedSeats + 64 else { return }
        var seen: Set<Expiry> = []
        self.expiries = Heap(self.expiries.unordered.filter { self.isCurrent($0) && seen.insert($0).inserted })
    }

    private func isCurrent(_ expiry: Expiry) -> Bool {
        self.entries[expiry.connection]?.seats[expiry.space]?.delegation?.expiresAt == expiry.second
    }
}
