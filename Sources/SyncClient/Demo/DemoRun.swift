import SyncProtocol

/// One run, once there are a folder and three tokens.
struct DemoRun: Sendable {
    struct Result: Sendable {
        var subscriber: DemoReceiver
        var puller: DemoReceiver
        var durations: [DemoDevice: Duration]
    }

    /// Time without a record after which B is given up, once A is done.
    static let stallMax: Duration = .seconds(60)

    let cipher: DemoCipher
    let source: DemoSource
    let progress: DemoProgress
    let writer: DemoSession
    let subscriber: DemoSession
    let puller: DemoSession
    let clock: any Clock<Duration>

    /// Calls `report` at once, every so often, and at the end.
    func run(reportingEvery interval: Duration, _ report: @escaping @Sendable () -> Void) async throws -> Result {
        defer { report() }
        return try await withThrowingTaskGroup(of: Result?.self) { group in
            group.addTask { try await self.run() }
            group.addTask {
                while !Task.isCancelled {
                    report()
                    try? await self.clock.sleep(for: interval)
                }
                return nil
            }
            defer { group.cancelAll() }
            while let ended = try await group.next() {
                if let result = ended { return result }
            }
            throw CancellationError()
        }
    }

    private func run() async throws -> Result {
        var subscriber = DemoReceiver(self.subscriber, cipher: self.cipher, progress: self.progress)
        try await subscriber.subscribe()
        var (follower, durations) = try await self.sendAndFollow(subscriber)
        var puller = DemoReceiver(self.puller, cipher: self.cipher, progress: self.progress)
        let watch = Stopwatch(self.clock)
        try await puller.pullAll()
        durations[.puller] = watch.elapsed
        return Result(subscriber: follower, puller: puller, durations: durations)
    }

    private enum Event: Sendable {
        case sent(Duration)
        case followed(DemoReceiver, Duration)
    }

    /// A and B at the same time.
    private func sendAndFollow(
        _ subscriber: DemoReceiver
    ) async throws -> (follower: DemoReceiver, durations: [DemoDevice: Duration]) {
        try await withThrowingTaskGroup(of: Event.self) { group in
            let watch = Stopwatch(self.clock)
            group.addTask {
                var writer = DemoWriter(self.writer, source: self.source, progress: self.progress)
                try await writer.run()
                return .sent(watch.elapsed)
            }
            group.addTask {
                var subscriber = subscriber
                try await subscriber.follow()
                return .followed(subscriber, watch.elapsed)
            }
            defer { group.cancelAll() }
            var durations: [DemoDevice: Duration] = [:]
            var follower: DemoReceiver?
            while durations[.writer] == nil || follower == nil {
                switch try await group.next() {
                case .sent(let duration):
                    durations[.writer] = duration
                    if follower == nil { group.addTask { try await self.waitForStall() } }
                case .followed(let receiver, let duration):
                    follower = receiver
                    durations[.subscriber] = duration
                case nil: throw CancellationError()
                }
            }
            guard let follower else { throw CancellationError() }
            return (follower, durations)
        }
    }

    /// Ends by its cancellation, or when B does not get on.
    private func waitForStall() async throws -> Event {
        while true {
            let before = self.progress[.subscriber].changes
            try await self.clock.sleep(for: Self.stallMax)
            guard self.progress[.subscriber].changes != before else {
                throw DemoError.stalled(seconds: Int(Self.stallMax.components.seconds))
            }
        }
    }
}

/// Time since it was made.
struct Stopwatch: Sendable {
    private let now: @Sendable () -> Duration

    init<C: Clock<Duration>>(_ clock: C) {
        let start = clock.now
        self.now = { start.duration(to: clock.now) }
    }

    var elapsed: Duration { self.now() }
}
