/// Which connections a run has, what for, and on which event loop.
struct ConnectionPlan: Sendable {
    struct Connection: Sendable, Hashable {
        let number: Int
        let space: Int
        let lane: Int
        let isSubscriber: Bool
    }

    let options: BenchOptions
    let connections: [Connection]
    /// Of the run, not of one event loop.
    let workers: Int
    let lanes: Int

    init(_ options: BenchOptions, lanes: Int) {
        self.options = options
        self.lanes = lanes
        self.workers = options.scenario == .fanout ? options.publishers : options.clients
        let spaces = options.spaceCount
        self.connections = (0..<options.connections).map { number in
            switch options.scenario {
            case .push, .pull, .mixed:
                // A worker has every space whose number leaves its own as a remainder, all of them on one event loop.
                let worker = number % options.clients
                return Connection(
                    number: number, space: number % spaces, lane: worker % lanes,
                    isSubscriber: options.scenario == .mixed)
            case .fanout:
                let isSubscriber = number >= options.publishers
                let index = isSubscriber ? number - options.publishers : number
                return Connection(
                    number: number, space: index % spaces, lane: number % lanes, isSubscriber: isSubscriber)
            case .idle:
                return Connection(number: number, space: number % spaces, lane: number % lanes, isSubscriber: true)
            case .echo:
                return Connection(number: number, space: 0, lane: number % lanes, isSubscriber: false)
            }
        }
    }

    var firstOfEachSpace: [Connection] {
        var seen: Set<Int> = []
        return self.connections.filter { seen.insert($0.space).inserted }
    }

    /// Empty unless the scenario has subscribers to count.
    var fanoutSpaces: [FanoutSpace] {
        guard self.options.scenario == .fanout else { return [] }
        return (0..<self.options.spaceCount).map { space in
            let subscribers = self.connections.count { $0.space == space && $0.isSubscriber }
            return FanoutSpace(subscribers: subscribers, window: self.options.rate == nil ? self.options.window : nil)
        }
    }

    /// Numbers of the connections of a worker.
    func connections(of worker: Int) -> some Sequence<Int> {
        stride(from: worker, to: self.connections.count, by: self.workers)
    }
}

/// Makes the workers of each event loop.
struct WorkerFactory: Sendable {
    struct Timing: Sendable {
        let start: UInt64
        let end: UInt64
    }

    private let options: BenchOptions
    private let plan: ConnectionPlan
    private let spaces: [FanoutSpace]
    private let logs: [PublisherLog]

    init(_ options: BenchOptions, _ plan: ConnectionPlan, _ spaces: [FanoutSpace]) {
        self.options = options
        self.plan = plan
        self.spaces = spaces
        self.logs = options.scenario == .fanout ? (0..<options.publishers).map { _ in PublisherLog() } : []
    }

    /// Those of lane `number`; call on its event loop, after `addSubscribers(on:)` for every lane.
    func workers(on lane: Lane, number: Int, _ timing: Timing) -> [any Worker] {
        if self.options.scenario == .idle {
            return [IdleWorker(lane, clients: lane.clients.values, until: timing.end)]
        }
        return (0..<self.plan.workers).compactMap { worker in
            guard self.plan.connections[worker].lane == number else { return nil }
            return self.worker(worker, on: lane, timing)
        }
    }

    private func worker(_ number: Int, on lane: Lane, _ timing: Timing) -> (any Worker)? {
        let pacing = Pacing(
            start: timing.start, end: timing.end, operationsMax: self.options.operationsMax,
            rate: self.options.rate, worker: number, workers: self.plan.workers)
        let seed = UInt64.random(in: .min ... .max)
        guard let first = lane.clients[number] else { return nil }
        switch self.options.scenario {
        case .push:
            let clients = self.clients(of: number, on: lane)
            return PushWorker(lane, pacing, clients: clients, number: number, self.options, seed: seed)
        case .pull:
            return PullWorker(
                lane, pacing, clients: self.clients(of: number, on: lane), recordsMin: self.options.records, seed: seed)
        case .mixed:
            let clients = self.clients(of: number, on: lane)
            return MixedWorker(lane, pacing, clients: clients, number: number, self.options, seed: seed)
        case .fanout:
            return FanoutPublisher(
                lane, pacing, client: first, space: self.spaces[self.plan.connections[number].space],
                log: self.logs[number], number: number, self.options)
        case .echo: return EchoWorker(lane, pacing, client: first, number: number, self.options)
        case .idle: return nil
        }
    }

    private func clients(of worker: Int, on lane: Lane) -> [BenchClient] {
        self.plan.connections(of: worker).compactMap { lane.clients[$0] }
    }

    /// Lets the subscribers of `lane` take notifications; call on its event loop.
    func addSubscribers(on lane: Lane) {
        guard self.options.scenario == .fanout else { return }
        for (number, client) in lane.clients where self.plan.connections[number].isSubscriber {
            let space = self.spaces[self.plan.connections[number].space]
            // Kept alive by the client, whose messages it takes.
            _ = FanoutSubscriber(lane, client: client, space: space, logs: self.logs)
        }
    }
}
