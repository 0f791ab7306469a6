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

/// Who is connected and who watches what: three indexes that always agree. Pure; `Broker` keeps it under its lock.
///
/// The subscribers of a space lie in one array, so that a broadcast copies a reference and nothing else. Each subscriber
/// knows its slot in every such array; leaving swaps the last one into the slot.
struct SubscriptionTable {
    private struct Entry {
        let subscriber: Subscriber
        /// Index of the subscriber in the array of each space it watches.
        var slots: [SpaceID: Int] = [:]
    }

    private var entries: [ConnectionID: Entry] = [:]
    private var watchers: [SpaceID: [Subscriber]] = [:]
    private var mailboxes: [String: [Subscriber]] = [:]
    private var limitCounts: [String: Int] = [:]

    /// Registered connections.
    var count: Int { self.entries.count }
    /// Spaces with at least one subscriber.
    var watchedSpaces: Int { self.watchers.count }

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
        for (space, slot) in entry.slots { self.vacate(slot, in: space) }
        let mailbox = entry.subscriber.mailbox
        if let count = self.limitCounts[mailbox.limitKey] {
            self.limitCounts[mailbox.limitKey] = count > 1 ? count - 1 : nil
        }
        self.mailboxes[mailbox.deliveryKey]?.removeAll { $0.id == id }
        if self.mailboxes[mailbox.deliveryKey]?.isEmpty == true { self.mailboxes[mailbox.deliveryKey] = nil }
        return true
    }

    /// The spaces that the connection did not watch before; none when it is not registered.
    mutating func subscribe(_ id: ConnectionID, to spaces: some Sequence<SpaceID>) -> [SpaceID] {
        guard let subscriber = self.entries[id]?.subscriber else { return [] }
        var added: [SpaceID] = []
        for space in spaces where self.entries[id]?.slots[space] == nil {
            let slot = self.watchers[space]?.count ?? 0
            self.watchers[space, default: []].append(subscriber)
            self.entries[id]?.slots[space] = slot
            added.append(space)
        }
        return added
    }

    mutating func unsubscribe(_ id: ConnectionID, from spaces: some Sequence<SpaceID>) {
        for space in spaces {
            guard let slot = self.entries[id]?.slots.removeValue(forKey: space) else { continue }
            self.vacate(slot, in: space)
        }
    }

    func isSubscribed(_ id: ConnectionID, to space: SpaceID) -> Bool { self.entries[id]?.slots[space] != nil }

    func subscribers(of space: SpaceID) -> [Subscriber] { self.watchers[space] ?? [] }

    func connections(ofMailbox key: String) -> [Subscriber] { self.mailboxes[key] ?? [] }

    func connectionCount(ofLimitKey key: String) -> Int { self.limitCounts[key, default: 0] }

    private mutating func vacate(_ slot: Int, in space: SpaceID) {
        guard let last = self.watchers[space]?.popLast() else { return }
        if let count = self.watchers[space]?.count, slot < count {
            self.watchers[space]?[slot] = last
            self.entries[last.id]?.slots[space] = slot
        }
        if self.watchers[space]?.isEmpty == true { self.watchers[space] = nil }
    }
}
