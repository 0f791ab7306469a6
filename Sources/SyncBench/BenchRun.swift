import NIOCore
import SyncProtocol
import SyncTransport

/// One run: connects, prepares, measures, adds up.
struct BenchRun: Sendable {
    let options: BenchOptions
    let endpoint: BenchEndpoint
    let lanes: [BoundLane]
    let watch: Bench.Watch
    private let plan: ConnectionPlan
    private let clock = ContinuousClock()

    /// Connections that are being opened, and spaces that are being filled, at the same time.
    private static let openingsMax = 64
    private static let fillingsMax = 16
    /// Between the last connection and the first operation.
    private static let startDelay: Duration = .milliseconds(20)

    init(_ options: BenchOptions, _ endpoint: BenchEndpoint, _ lanes: [BoundLane], _ watch: @escaping Bench.Watch) {
        self.options = options
        self.endpoint = endpoint
        self.lanes = lanes
        self.watch = watch
        self.plan = ConnectionPlan(options, lanes: lanes.count)
    }

    func run() async throws -> BenchResult {
        let before = self.serverUsage
        try await self.connect()
        try await self.prepare()
        let spaces = self.plan.fanoutSpaces
        let factory = WorkerFactory(self.options, self.plan, spaces)
        for lane in self.lanes { try await lane.with { factory.addSubscribers(on: $0) } }
        let start = BenchClock.now() + Self.startDelay.nanoseconds
        let measuredFrom = start + self.options.warmup.nanoseconds
        let end = measuredFrom + self.options.duration.nanoseconds
        // Both end with this scope at the latest.
        async let usage = self.usage(at: measuredFrom)
        async let _: Void = self.report(from: start)
        try await self.work(factory, .init(start: start, end: end), measuredFrom: measuredFrom)
        let drained = try await self.drain(spaces)
        let (started, after) = (await usage, self.usages)
        var recorder = Recorder()
        var missed = 0
        for lane in self.lanes {
            let (part, count) = try await lane.with { ($0.recorder, $0.missed) }
            recorder.merge(part)
            missed += count
        }
        recorder.fail(drained.failure, count: UInt64(spaces.reduce(0) { $0 + $1.outstanding }))
        recorder.fail(
            "notification lost, a later one of its publisher came",
            count: UInt64(spaces.reduce(0) { $0 + $1.lostCount }))
        return BenchResult(
            self.options, recorder, missed: missed, measuredFrom: measuredFrom, end: end,
            .init(before: before, start: started, end: after))
    }

    func close() async {
        for lane in self.lanes { try? await lane.with { $0.close() } }
    }

    // MARK: Before

    private func connect() async throws {
        let grants =
            self.options.speaksProtocol
            ? try await BenchTokens(spaces: self.plan.connections.map(\.space), options: self.options).fetch() : []
        let total = self.plan.connections.count
        try await self.eachOf(self.plan.connections, atOnce: Self.openingsMax) { connection in
            do {
                try await self.open(connection, connection.number < grants.count ? grants[connection.number] : nil)
            } catch {
                let detail = (error as? BenchClient.Failure)?.description ?? String(describing: error)
                throw BenchError.connection(number: connection.number + 1, count: total, detail)
            }
            if (connection.number + 1) % 1_000 == 0 { self.watch("\(connection.number + 1) of \(total) connections") }
        }
    }

    private func open(_ connection: ConnectionPlan.Connection, _ grant: BenchTokens.Grant?) async throws {
        let lane = self.lanes[connection.lane]
        let started = BenchClock.now()
        let options = WebSocketClient.Options(
            subprotocols: grant == nil ? [] : [self.options.family.subprotocol])
        let socket = try await WebSocketClient.connect(to: self.endpoint.socket, options, on: lane.eventLoop)
        let answered = lane.eventLoop.makePromise(of: Void.self)
        let timeout = self.options.timeout.nanoseconds
        try await lane.with { lane in
            let client = BenchClient(
                socket.value, token: grant?.token, space: grant?.space ?? "", timeout: timeout)
            lane.add(client, number: connection.number)
            guard let grant else { return answered.succeed() }
            let spaces = connection.isSubscriber ? [SubscribeParams.Entry(id: grant.space)] : []
            client.send(.subscribe, SubscribeParams(spaces: spaces)) { answer in
                lane.recorder.record(.connect, intended: started, end: BenchClock.now())
                answered.completeWith(
                    answer.flatMap { Self.subscribed($0, spaces.count) }.mapError { $0 as any Error })
            }
        }
        try await answered.futureResult.get()
    }

    private static func subscribed(_ payload: FramePayload, _ count: Int) -> Result<Void, BenchClient.Failure> {
        guard let result = try? payload.decode(as: SubscribeResult.self) else {
            return .failure(.protocolViolation("undecodable answer to subscribe"))
        }
        if let error = result.errors.first { return .failure(.refused(code: error.error.rawValue)) }
        return result.spaces.count == count ? .success(()) : .failure(.protocolViolation("not subscribed"))
    }

    /// Every space exists, and holds what a pull is to find, before anything is measured.
    private func prepare() async throws {
        guard self.options.speaksProtocol, self.options.scenario != .idle else { return }
        let records = self.options.scenario == .pull ? self.options.records : 1
        guard records > 0 else { return }
        if records > 1 { self.watch("pushing \(records) records to each of \(self.options.spaceCount) spaces") }
        let options = self.options
        try await self.eachOf(self.plan.firstOfEachSpace, atOnce: Self.fillingsMax) { connection in
            let lane = self.lanes[connection.lane]
            let filled = lane.eventLoop.makePromise(of: Void.self)
            try await lane.with { lane in
                guard let client = lane.clients[connection.number] else { return filled.succeed() }
                SpaceFiller(client, options, records: records, filled).step()
            }
            try await filled.futureResult.get()
        }
    }

    private func eachOf<Element: Sendable>(
        _ elements: [Element], atOnce: Int, _ body: @escaping @Sendable (Element) async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, element) in elements.enumerated() {
                if index >= atOnce { try await group.next() }
                group.addTask { try await body(element) }
            }
            try await group.waitForAll()
        }
    }

    // MARK: Meanwhile

    /// Returns when every worker has finished, or should have.
    private func work(_ factory: WorkerFactory, _ timing: WorkerFactory.Timing, measuredFrom: UInt64) async throws {
        var finished: [EventLoopFuture<Void>] = []
        for (index, lane) in self.lanes.enumerated() {
            let promise = lane.eventLoop.makePromise(of: Void.self)
            finished.append(promise.futureResult)
            try await lane.with { lane in
                let workers = factory.workers(on: lane, number: index, timing)
                lane.run(workers, measuredFrom: measuredFrom, finished: promise)
            }
        }
        let all = EventLoopFuture.andAllComplete(finished, on: self.lanes[0].eventLoop)
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await all.get()
                return true
            }
            group.addTask {
                let rest = timing.end + Pacing.graceNanoseconds + self.options.timeout.nanoseconds + 1_000_000_000
                try await self.clock.sleep(for: .nanoseconds(Int64(clamping: rest - min(rest, BenchClock.now()))))
                return false
            }
            let isFinished = try await group.next() ?? false
            group.cancelAll()
            guard !isFinished else { return }
            for lane in self.lanes {
                try await lane.with {
                    $0.recorder.fail("no end in time")
                    $0.stop()
                }
            }
        }
    }

    /// Waits for notifications that are on their way; those of a space that has failed are not worth it.
    private func drain(_ spaces: [FanoutSpace]) async throws -> DrainWait.Outcome {
        var wait: DrainWait?
        while true {
            let now = BenchClock.now()
            let outstanding = spaces.reduce(0) { $0 + ($1.hasFailed ? 0 : $1.outstanding) }
            var current = wait ?? DrainWait(outstanding: outstanding, timeout: self.options.timeout, at: now)
            let outcome = current.next(outstanding: outstanding, at: now)
            guard outcome == .goOn else { return outcome }
            wait = current
            try await self.clock.sleep(for: .milliseconds(2))
        }
    }

    /// Until cancelled.
    private func report(from start: UInt64) async {
        var progress = BenchProgress(self.options, start: start)
        while (try? await self.clock.sleep(for: .seconds(1))) != nil {
            var sample = BenchProgress.Sample()
            for lane in self.lanes {
                let part = try? await lane.with { lane in
                    (lane.recorder.takeInterval(), lane.recorder.failureCount, lane.openClients)
                }
                guard let part else { return }
                sample.add(part.0, failures: part.1, open: part.2)
            }
            self.watch(progress.line(sample, at: BenchClock.now()))
        }
    }

    // MARK: Processes

    private var serverUsage: ProcessUsage? { self.options.serverPID.flatMap { ProcessUsage.of($0) } }

    private var usages: BenchResult.Usages.Pair { .init(server: self.serverUsage, own: ProcessUsage.own) }

    private func usage(at instant: UInt64) async -> BenchResult.Usages.Pair {
        let rest = instant - min(instant, BenchClock.now())
        try? await self.clock.sleep(for: .nanoseconds(Int64(clamping: rest)))
        return self.usages
    }
}
