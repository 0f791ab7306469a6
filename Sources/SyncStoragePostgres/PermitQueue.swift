import DequeModule

/// A fixed number of permits, handed out in the order in which they were asked for. Pure: time comes in as a value, and
/// whoever holds it resumes the waiters and keeps the timer.
struct PermitQueue<Waiter> {
    /// A place in the queue. Later places have higher numbers.
    typealias Ticket = UInt64

    enum Answer: Equatable {
        case granted
        /// The waiter is kept until a permit comes back, its time is over, or it gives up.
        ///
        /// - Parameter startsTimer: Call `expire` at that time; a timer that was asked for before is still running if `nil`.
        case waits(Ticket, startsTimer: ContinuousClock.Instant?)
        case refused
    }

    struct Expiry {
        /// Have waited as long as they may.
        var waiters: [Waiter]
        /// When to call again; `nil` when nobody waits.
        var next: ContinuousClock.Instant?
    }

    private struct Place {
        var ticket: Ticket
        var deadline: ContinuousClock.Instant
        var waiter: Waiter
    }

    private let permits: Int
    private let waitLimit: Duration
    private var free: Int
    private var waiting: Deque<Place> = []
    private var nextTicket: Ticket = 1
    private var hasTimer = false
    private(set) var isClosed = false

    init(permits: Int, waitLimit: Duration) {
        self.permits = permits
        self.waitLimit = waitLimit
        self.free = permits
    }

    var inUse: Int { self.permits - self.free }

    var waitingCount: Int { self.waiting.count }

    mutating func ask(_ waiter: Waiter, at now: ContinuousClock.Instant) -> Answer {
        if self.isClosed { return .refused }
        if self.free > 0 {
            self.free -= 1
            return .granted
        }
        // All wait equally long: who came first is also the first to give up.
        let place = Place(ticket: self.nextTicket, deadline: now + self.waitLimit, waiter: waiter)
        self.nextTicket += 1
        self.waiting.append(place)
        defer { self.hasTimer = true }
        return .waits(place.ticket, startsTimer: self.hasTimer ? nil : place.deadline)
    }

    /// - Returns: The waiter that has the permit now.
    mutating func giveBack() -> Waiter? {
        if let next = self.waiting.popFirst() { return next.waiter }
        self.free += 1
        return nil
    }

    /// - Returns: The waiter, if it still waits.
    mutating func giveUp(_ ticket: Ticket) -> Waiter? {
        var low = 0
        var high = self.waiting.count
        while low < high {
            let middle = (low + high) / 2
            if self.waiting[middle].ticket < ticket { low = middle + 1 } else { high = middle }
        }
        guard low < self.waiting.count, self.waiting[low].ticket == ticket else { return nil }
        return self.waiting.remove(at: low).waiter
    }

    /// The timer has fired.
    mutating func expire(at now: ContinuousClock.Instant) -> Expiry {
        var waiters: [Waiter] = []
        while let first = self.waiting.first, first.deadline <= now {
            waiters.append(first.waiter)
            self.waiting.removeFirst()
        }
        self.hasTimer = !self.waiting.isEmpty
        return Expiry(waiters: waiters, next: self.waiting.first?.deadline)
    }

    /// Refuses everything from now on.
    ///
    /// - Returns: The waiters to refuse.
    mutating func close() -> [Waiter] {
        self.isClosed = true
        defer { self.waiting = [] }
        return self.waiting.map(\.waiter)
    }
}
