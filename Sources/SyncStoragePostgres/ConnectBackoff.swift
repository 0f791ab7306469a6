/// When a database that could not be reached may be tried again. Meanwhile callers that would need a new connection are
/// refused at once. Pure: time comes in as a value.
struct ConnectBackoff {
    /// Counts the failures before the attempt.
    typealias Attempt = UInt64

    private static let delayMin: Duration = .milliseconds(50)
    private static let delayMax: Duration = .seconds(1)

    private var delay: Duration = Self.delayMin
    private var nextAttempt: ContinuousClock.Instant?
    private var failures: Attempt = 0

    /// Everybody may, until an attempt fails; then one caller after each delay, until one succeeds.
    ///
    /// - Returns: `nil` if the caller may not.
    mutating func attempt(at now: ContinuousClock.Instant) -> Attempt? {
        if let nextAttempt = self.nextAttempt {
            guard nextAttempt <= now else { return nil }
            self.nextAttempt = now + self.delay
        }
        return self.failures
    }

    /// Attempts that were made together and fail together count once.
    mutating func failed(_ attempt: Attempt, at now: ContinuousClock.Instant) {
        guard attempt == self.failures else { return }
        self.failures += 1
        self.nextAttempt = now + self.delay
        self.delay = min(self.delay * 2, Self.delayMax)
    }

    mutating func succeeded() {
        self.delay = Self.delayMin
        self.nextAttempt = nil
    }
}
