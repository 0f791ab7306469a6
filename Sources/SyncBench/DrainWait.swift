/// How long a run waits at its end for notifications that are still on their way. Time comes in as nanoseconds of one clock.
struct DrainWait: Sendable, Hashable {
    enum Outcome: Sendable, Hashable {
        case goOn
        /// Everything has come.
        case complete
        /// Nothing has come for `quietMax`.
        case quiet
        /// Something still came after `totalMax`.
        case tooSlow
    }

    /// Without any notification.
    static let quietMax: Duration = .seconds(5)
    static let totalMax: Duration = .seconds(60)

    private let quietMax: Duration
    private let start: UInt64
    private var lastArrival: UInt64
    private var outstanding: Int

    /// - Parameter timeout: of a request; nothing is waited for longer than that without a sign of life.
    init(outstanding: Int, timeout: Duration, at now: UInt64) {
        self.quietMax = min(Self.quietMax, timeout)
        self.start = now
        self.lastArrival = now
        self.outstanding = outstanding
    }

    mutating func next(outstanding: Int, at now: UInt64) -> Outcome {
        if outstanding == 0 { return .complete }
        if outstanding != self.outstanding {
            self.outstanding = outstanding
            self.lastArrival = now
        }
        if now >= self.lastArrival + self.quietMax.nanoseconds { return .quiet }
        return now >= self.start + Self.totalMax.nanoseconds ? .tooSlow : .goOn
    }
}

extension DrainWait.Outcome {
    /// What notifications that have not come count as.
    var failure: String {
        switch self {
        case .goOn, .complete, .quiet: "notification missing"
        case .tooSlow: "notification still on its way, server or load generator too slow"
        }
    }
}
