import SyncProtocol

/// When an open connection has to end by time: at the end of its lifetime, and with its token where that is enforced
/// (docs/contract/wire.md §8, §14, architecture C30). Pure: time comes in as a value.
struct SessionDeadlines {
    enum Action: Equatable {
        case none
        /// Let requests in progress finish, then close.
        case drain(CloseFrame)
        /// They had their time.
        case close(CloseFrame)
    }

    /// The identity may be replaced, and the wall clock may be set: they are looked at this often.
    private static let tokenCheckInterval = Duration.seconds(60)
    /// Seconds that a token may be used beyond its end.
    private static let tokenLeeway = 60.0

    // On the stopwatch of `LifetimeWatch`.
    private let lifetimeEnd: Duration
    private var graceEnd: Duration?

    private let grace: Duration
    private let enforcesTokenExpiry: Bool
    /// What the connection closes with, once it is due.
    private var frame: CloseFrame?

    /// - Parameter grace: What requests in progress have to finish.
    init(lifetimeEnd: Duration, grace: Duration, enforcesTokenExpiry: Bool) {
        self.lifetimeEnd = lifetimeEnd
        self.grace = grace
        self.enforcesTokenExpiry = enforcesTokenExpiry
    }

    /// - Parameters:
    ///   - now: On the stopwatch of `LifetimeWatch`.
    ///   - tokenExpiry: Of the present identity, in seconds since 1970; `nil` for a token without end.
    ///   - unixTime: Seconds since 1970.
    mutating func action(at now: Duration, tokenExpiry: UInt64?, unixTime: Double) -> Action {
        if let frame = self.frame, let graceEnd = self.graceEnd { return now < graceEnd ? .none : .close(frame) }
        let isTokenOver = self.remaining(of: tokenExpiry, unixTime).map { $0 <= .zero } ?? false
        guard now >= self.lifetimeEnd || isTokenOver else { return .none }
        let frame = now >= self.lifetimeEnd ? CloseFrame.lifetimeReached : .tokenExpired
        self.frame = frame
        self.graceEnd = now + self.grace
        return .drain(frame)
    }

    /// How long from `now` until `action` may have something to say; never less than zero.
    func next(at now: Duration, tokenExpiry: UInt64?, unixTime: Double) -> Duration {
        if let graceEnd = self.graceEnd { return max(.zero, graceEnd - now) }
        var next = self.lifetimeEnd - now
        if self.enforcesTokenExpiry {
            next = min(next, Self.tokenCheckInterval, self.remaining(of: tokenExpiry, unixTime) ?? next)
        }
        return max(.zero, next)
    }

    private func remaining(of tokenExpiry: UInt64?, _ unixTime: Double) -> Duration? {
        guard self.enforcesTokenExpiry, let tokenExpiry else { return nil }
        return .seconds(Double(tokenExpiry) + Self.tokenLeeway - unixTime)
    }
}
