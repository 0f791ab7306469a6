/// When one worker sends its operations: a plan of instants, without a clock.
///
/// With a rate, the instants are fixed beforehand. An operation that could not be sent in time, because the one before it was slow,
/// is sent as soon as possible, and its latency counts from the instant of the plan: a server that stalls for a second is charged
/// for everything that should have happened in that second (no coordinated omission).
struct Pacing: Sendable, Hashable {
    enum Turn: Sendable, Hashable {
        /// Send now. Latency counts from `intended`, in nanoseconds.
        case send(intended: UInt64)
        /// Ask again then.
        case wait(until: UInt64)
        case finished
    }

    /// Time after the end in which operations of the plan may still be sent late.
    static let graceNanoseconds: UInt64 = 1_000_000_000

    /// Nanoseconds on the clock that `next(at:)` is asked with.
    let start: UInt64
    let end: UInt64
    /// Operations of this worker; `nil` for as many as fit.
    let operationsMax: Int?
    /// Nanoseconds between two operations of this worker; `nil` sends the next as soon as the one before is answered.
    let interval: Double?
    /// Of the first operation, from `start`.
    let offset: Double

    private(set) var sent = 0

    /// - Parameters:
    ///   - rate: operations a second of all workers together.
    ///   - worker: number of this one, below `workers`; the workers take turns.
    init(
        start: UInt64, end: UInt64, operationsMax: Int? = nil, rate: Double? = nil, worker: Int = 0, workers: Int = 1
    ) {
        self.start = start
        self.end = end
        self.operationsMax = operationsMax.map { $0 / workers + (worker < $0 % workers ? 1 : 0) }
        self.interval = rate.map { 1e9 * Double(workers) / $0 }
        self.offset = rate.map { 1e9 * Double(worker) / $0 } ?? 0
    }

    mutating func next(at now: UInt64) -> Turn {
        guard let intended = self.intended(at: now) else { return .finished }
        guard intended <= now else { return .wait(until: intended) }
        guard now < self.end + (self.interval == nil ? 0 : Self.graceNanoseconds) else { return .finished }
        self.sent += 1
        return .send(intended: intended)
    }

    /// Operations of the plan that were never sent; always 0 without a rate.
    var missed: Int {
        guard let interval = self.interval else { return 0 }
        let inTime = (Double(self.end - self.start) - self.offset) / interval
        let planned = Swift.min(Int(Swift.max(0, inTime).rounded(.up)), self.operationsMax ?? Int.max)
        return Swift.max(0, planned - self.sent)
    }

    /// `nil` when the plan holds no more.
    private func intended(at now: UInt64) -> UInt64? {
        if let operationsMax = self.operationsMax, self.sent >= operationsMax { return nil }
        guard let interval = self.interval else {
            return now < self.end ? Swift.max(now, self.start) : nil
        }
        let intended = self.start + UInt64(self.offset + Double(self.sent) * interval)
        return intended < self.end ? intended : nil
    }
}
