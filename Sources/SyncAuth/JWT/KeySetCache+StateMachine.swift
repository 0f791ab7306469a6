extension KeySetCache {
    /// When to fetch and what to answer meanwhile, without doing either (docs/contract/auth.md §2.4). Time is a duration
    /// since any fixed moment that clock changes do not move.
    struct StateMachine {
        static let lifetime: Duration = .seconds(3_600)
        /// Fetches for key ids that the set lacks: so many at once …
        static let unknownKeyBurst = 5
        /// … and one more after each of these.
        static let unknownKeyInterval: Duration = .seconds(12)
        static let retryDelay: Duration = .seconds(1)
        static let retryDelayMax: Duration = .seconds(60)

        enum Action: Equatable {
            /// Answer from the set as it is.
            case answer
            /// Fetch; every `fetch` is followed by one `succeeded` or `failed`.
            case fetch
            /// Wait for the fetch in progress.
            case wait
        }

        private(set) var set: KeySet?
        private var fetchedAt: Duration = .zero
        private var isFetching = false
        /// Failed attempts to renew a set that is out of date, since the last success.
        private var failedRenewals = 0
        private var nextRenewal: Duration = .zero
        /// When the allowance for unknown key ids will be full again.
        private var allowanceFullAt: Duration = .zero

        mutating func lookUp(_ keyID: String, now: Duration) -> Action {
            let isKnown = self.set?.keys[ExactText(keyID)] != nil
            let isFresh = self.isFresh(now)
            if isFresh, isKnown { return .answer }
            if self.isFetching {
                // The endpoint was down a moment ago: do not make holders of known keys wait for its time-out again.
                return isKnown && self.failedRenewals > 0 ? .answer : .wait
            }
            let mayFetch =
                self.set != nil && !isFresh ? now >= self.nextRenewal : self.takeFromAllowance(now: now)
            guard mayFetch else { return .answer }
            self.isFetching = true
            return .fetch
        }

        /// Replaces the set completely.
        mutating func succeeded(_ set: KeySet, now: Duration) {
            self.set = set
            self.fetchedAt = now
            self.isFetching = false
            self.failedRenewals = 0
        }

        /// Keeps the set, however old.
        mutating func failed(now: Duration) {
            self.isFetching = false
            guard self.set != nil, !self.isFresh(now) else { return }
            // The seventh delay would be 64 s; shifting further could overflow in a long outage.
            let delay = min(Self.retryDelay * (1 << min(self.failedRenewals, 6)), Self.retryDelayMax)
            self.failedRenewals += 1
            self.nextRenewal = now + delay
        }

        private func isFresh(_ now: Duration) -> Bool {
            self.set != nil && now - self.fetchedAt < Self.lifetime
        }

        /// Covers the empty cache too: as long as the first fetch has not succeeded, every key id is unknown.
        private mutating func takeFromAllowance(now: Duration) -> Bool {
            let fullAt = max(self.allowanceFullAt, now)
            guard fullAt - now <= Self.unknownKeyInterval * (Self.unknownKeyBurst - 1) else { return false }
            self.allowanceFullAt = fullAt + Self.unknownKeyInterval
            return true
        }
    }
}
