import Synchronization

/// Closes connections whose time is over. One timer for all of them: a task that sleeps for each would take several KiB of an
/// idle connection.
final class LifetimeWatch: Sendable {
    // Fixed after init.
    private let configuration: EngineConfiguration
    private let randomness: EngineRandomness
    private let clock: any Clock<Duration>
    private let elapsed: @Sendable () -> Duration
    /// Seconds since 1970.
    private let unixTime: @Sendable () -> Double

    /// Rings when a connection is due sooner than the watch looks.
    private let alarm = Alarm()

    // Guarded by itself: when the watch looks next; `nil` while it is at it.
    private let nextLook = Mutex<Duration?>(nil)

    init(
        configuration: EngineConfiguration, randomness: EngineRandomness, clock: any Clock<Duration>,
        unixTime: @escaping @Sendable () -> Double
    ) {
        self.configuration = configuration
        self.randomness = randomness
        self.clock = clock
        self.elapsed = clock.stopwatch()
        self.unixTime = unixTime
    }

    /// When a connection that begins now must have sent its token.
    func authenticationEnd() -> Duration { self.elapsed() + self.configuration.authTimeout }

    /// Those of a connection that opens now.
    func makeDeadlines() -> SessionDeadlines {
        SessionDeadlines(
            lifetimeEnd: self.elapsed() + self.configuration.connectionLifetime * self.randomness.lifetimeFactor(),
            grace: self.configuration.requestGrace, enforcesTokenExpiry: self.configuration.enforcesTokenExpiry)
    }

    /// Sees to it that the watch looks in time. To be called whenever `session` enters a stage with a deadline.
    func schedule(_ session: Session) {
        let now = self.elapsed()
        guard let delay = session.endIfOverdue(at: now, unixTime: self.unixTime()) else { return }
        let isSooner = self.nextLook.withLock { $0.map { now + delay < $0 } ?? true }
        if isSooner { self.alarm.ring() }
    }

    /// Watches the connections of `registry` until the task is cancelled. To be run once.
    func run(_ registry: SessionRegistry) async {
        while !Task.isCancelled {
            self.nextLook.withLock { $0 = nil }
            let now = self.elapsed()
            let unixTime = self.unixTime()
            let delays = registry.sessions.compactMap { $0.endIfOverdue(at: now, unixTime: unixTime) }
            if let delay = delays.min() {
                self.nextLook.withLock { $0 = now + delay }
                await self.alarm.sleep(atMost: delay, on: self.clock)
            } else {
                // The first connection rings.
                await self.alarm.sleep()
            }
        }
    }
}
