import DequeModule

enum ReaderPoolOutcome: Equatable, Sendable {
    case leased(Int)
    /// Waited too long, or the pool is closed.
    case failed
}

/// Who has which of the connections that read. First come, first served, except that pulls at their cap let pass what is
/// not a pull (docs/contract/storage.md Δ-S14).
struct ReaderPoolStateMachine<Waiter> {
    enum Use: Sendable {
        case query
        case pull
    }

    typealias Outcome = ReaderPoolOutcome

    enum Answer: Equatable {
        case decided(Outcome)
        /// Keep this place in the queue: `attach` follows, and `giveUp` when the caller is cancelled.
        ///
        /// - Parameter timer: Call `expire` at that time; `nil`: that will be done already.
        case wait(Ticket, timer: Duration?)
    }

    struct Ticket: Hashable, Sendable {
        fileprivate var number: UInt64
        fileprivate var use: Use
    }

    struct Wakeup {
        var waiter: Waiter
        var outcome: Outcome
    }

    struct Expiry {
        var wakeups: [Wakeup]
        /// When to call again; `nil`: not until `request` says so.
        var timer: Duration?
    }

    private struct Place {
        var ticket: Ticket
        var deadline: Duration
        /// `nil` until attached.
        var waiter: Waiter?
    }

    private let readers: Int
    private let waitLimit: Duration
    private let pullsMax: Int
    private var idle: [Int]
    // Nobody waits who could be served.
    private var queries: Deque<Place> = []
    private var pulls: Deque<Place> = []
    /// Decided before the waiter was attached.
    private var decided: [Ticket: Outcome] = [:]
    private var tickets: UInt64 = 0
    private(set) var pullsOpen = 0
    private(set) var isClosed = false
    private var hasTimer = false

    var pullsWaiting: Int { self.pulls.count }

    /// Connections that somebody has.
    var leased: Int { self.readers - self.idle.count }

    /// - Parameters:
    ///   - readers: Connections, numbered from 0; 1 or more.
    ///   - waitLimit: How long somebody waits for one.
    init(readers: Int, waitLimit: Duration) {
        self.readers = readers
        self.waitLimit = waitLimit
        self.pullsMax = max(1, readers - 2)
        self.idle = Array((0..<readers).reversed())
    }

    /// - Parameter now: Time since any fixed moment, as in `expire`.
    mutating func request(for use: Use, at now: Duration) -> Answer {
        guard !self.isClosed else { return .decided(.failed) }
        if let outcome = self.lease(for: use) { return .decided(outcome) }
        self.tickets += 1
        let place = Place(ticket: Ticket(number: self.tickets, use: use), deadline: now + self.waitLimit)
        switch use {
        case .query: self.queries.append(place)
        case .pull: self.pulls.append(place)
        }
        defer { self.hasTimer = true }
        return .wait(place.ticket, timer: self.hasTimer ? nil : place.deadline)
    }

    /// Names who is to be woken.
    ///
    /// - Returns: The outcome, if it is known already; then nobody is woken.
    mutating func attach(_ waiter: Waiter, to ticket: Ticket) -> Outcome? {
        if let outcome = self.decided.removeValue(forKey: ticket) { return outcome }
        // It came last, or nearly so.
        switch ticket.use {
        case .query:
            guard let index = self.queries.lastIndex(where: { $0.ticket == ticket }) else { return .failed }
            self.queries[index].waiter = waiter
        case .pull:
            guard let index = self.pulls.lastIndex(where: { $0.ticket == ticket }) else { return .failed }
            self.pulls[index].waiter = waiter
        }
        return nil
    }

    /// The timer has fired.
    mutating func expire(at now: Duration) -> Expiry {
        var wakeups: [Wakeup] = []
        while let first = self.queries.first, first.deadline <= now {
            if let wakeup = self.decide(self.queries.removeFirst(), .failed) { wakeups.append(wakeup) }
        }
        while let first = self.pulls.first, first.deadline <= now {
            if let wakeup = self.decide(self.pulls.removeFirst(), .failed) { wakeups.append(wakeup) }
        }
        let timer = [self.queries.first, self.pulls.first].compactMap { $0?.deadline }.min()
        self.hasTimer = timer != nil
        return Expiry(wakeups: wakeups, timer: timer)
    }

    /// The caller is cancelled. Does nothing for a ticket that was served.
    mutating func giveUp(_ ticket: Ticket) -> Wakeup? {
        let place =
            switch ticket.use {
            case .query: self.queries.removeFirst(where: { $0.ticket == ticket })
            case .pull: self.pulls.removeFirst(where: { $0.ticket == ticket })
            }
        return place.flatMap { self.decide($0, .failed) }
    }

    mutating func release(_ reader: Int, from use: Use) -> Wakeup? {
        if use == .pull { self.pullsOpen -= 1 }
        self.idle.append(reader)
        guard !self.isClosed else { return nil }
        // One connection is free, so one place at most can be served: the older one that may be.
        let pull = self.pullsOpen < self.pullsMax ? self.pulls.first : nil
        let query = self.queries.first
        let next: Use
        switch (query, pull) {
        case (nil, nil): return nil
        case (nil, _?): next = .pull
        case (_?, nil): next = .query
        case (let query?, let pull?): next = query.ticket.number < pull.ticket.number ? .query : .pull
        }
        guard let outcome = self.lease(for: next) else { return nil }
        return self.decide(next == .query ? self.queries.removeFirst() : self.pulls.removeFirst(), outcome)
    }

    mutating func close() -> [Wakeup] {
        self.isClosed = true
        let places = Array(self.queries) + Array(self.pulls)
        self.queries = []
        self.pulls = []
        return places.compactMap { self.decide($0, .failed) }
    }

    private mutating func lease(for use: Use) -> Outcome? {
        guard use == .query || self.pullsOpen < self.pullsMax, let reader = self.idle.popLast() else { return nil }
        if use == .pull { self.pullsOpen += 1 }
        return .leased(reader)
    }

    private mutating func decide(_ place: Place, _ outcome: Outcome) -> Wakeup? {
        guard let waiter = place.waiter else {
            self.decided[place.ticket] = outcome
            return nil
        }
        return Wakeup(waiter: waiter, outcome: outcome)
    }
}

extension Deque {
    fileprivate mutating func removeFirst(where isMatch: (Element) -> Bool) -> Element? {
        self.firstIndex(where: isMatch).map { self.remove(at: $0) }
    }
}
