import DequeModule

/// A fixed number of permits, handed out in the order in which they were asked for. Pure: whoever holds it resumes the
/// waiters.
struct PermitQueue<Waiter> {
    typealias Ticket = UInt64

    private var free: Int
    private var waiting: Deque<(ticket: Ticket, waiter: Waiter)> = []
    private var nextTicket: Ticket = 1
    private(set) var isClosed = false
    private let permits: Int

    init(permits: Int) {
        self.free = permits
        self.permits = permits
    }

    enum Answer {
        case granted
        /// The waiter is kept until a permit comes back.
        case waits(Ticket)
        case refused
    }

    var inUse: Int { self.permits - self.free }

    var waitingCount: Int { self.waiting.count }

    mutating func ask(_ waiter: Waiter) -> Answer {
        if self.isClosed { return .refused }
        if self.free > 0 {
            self.free -= 1
            return .granted
        }
        defer { self.nextTicket += 1 }
        self.waiting.append((self.nextTicket, waiter))
        return .waits(self.nextTicket)
    }

    /// - Returns: The waiter that has the permit now.
    mutating func giveBack() -> Waiter? {
        if let next = self.waiting.popFirst() { return next.waiter }
        self.free += 1
        return nil
    }

    /// - Returns: The waiter that gives up; `nil` when it has been answered already.
    mutating func giveUp(_ ticket: Ticket) -> Waiter? {
        guard let index = self.waiting.firstIndex(where: { $0.ticket == ticket }) else { return nil }
        return self.waiting.remove(at: index).waiter
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
