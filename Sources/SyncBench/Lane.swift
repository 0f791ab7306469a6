import NIOCore

/// One event loop with its share of the connections, and what was recorded on it. All of it belongs to that loop.
final class Lane {
    let eventLoop: any EventLoop
    var recorder = Recorder()
    private(set) var clients: [Int: BenchClient] = [:]
    private var workers: [any Worker] = []
    private var finishedWorkers = 0
    private var finished: EventLoopPromise<Void>?
    private var ticker: Scheduled<Void>?
    private var turnArrival: UInt64?

    init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    /// Time between two looks for overdue requests.
    private static let tick: TimeAmount = .milliseconds(100)

    func add(_ client: BenchClient, number: Int) {
        self.clients[number] = client
        if self.ticker == nil { self.scheduleTick() }
    }

    private func scheduleTick() {
        self.ticker = self.eventLoop.assumeIsolated().scheduleTask(in: Self.tick) {
            let now = BenchClock.now()
            for client in self.clients.values { client.tick(now) }
            self.scheduleTick()
        }
    }

    /// When what this turn of the event loop reads had arrived at the latest. All sockets of a turn were readable when it
    /// began; that the last of them waits for the others to be read is the load's own doing. On the event loop.
    func arrival() -> UInt64 {
        if let turnArrival = self.turnArrival { return turnArrival }
        let now = BenchClock.now()
        self.turnArrival = now
        self.eventLoop.assumeIsolated().execute { self.turnArrival = nil }
        return now
    }

    /// Starts `workers`; the promise is kept when all have finished.
    func run(_ workers: [any Worker], measuredFrom: UInt64, finished: EventLoopPromise<Void>) {
        self.recorder.measuredFrom = measuredFrom
        self.workers = workers
        self.finished = finished
        if workers.isEmpty { return self.finishIfDone() }
        for worker in workers { worker.start() }
    }

    func workerFinished() {
        self.finishedWorkers += 1
        self.finishIfDone()
    }

    /// Lets the workers send nothing more.
    func stop() {
        for worker in self.workers { worker.stop() }
    }

    /// Operations that the plan held and that were never sent.
    var missed: Int { self.workers.reduce(0) { $0 + $1.missed } }

    var openClients: Int { self.clients.values.count { $0.isOpen } }

    func close() {
        self.ticker?.cancel()
        for client in self.clients.values { client.close() }
        self.clients = [:]
        self.workers = []
    }

    private func finishIfDone() {
        guard self.finishedWorkers >= self.workers.count, let finished = self.finished else { return }
        self.finished = nil
        finished.succeed()
    }
}

/// Something that sends operations, one after another, on one event loop.
protocol Worker: AnyObject {
    func start()
    /// Send nothing more.
    func stop()
    var missed: Int { get }
}
