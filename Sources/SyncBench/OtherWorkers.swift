import NIOCore
import SyncProtocol

/// Holds connections that do nothing; the loss of one is a failure.
final class IdleWorker: Worker {
    private let lane: Lane
    private let end: UInt64
    private var isFinished = false

    init(_ lane: Lane, clients: some Collection<BenchClient>, until end: UInt64) {
        self.lane = lane
        self.end = end
        for client in clients {
            client.onEnd = { failure in lane.recorder.fail("idle: \(failure.description)") }
        }
    }

    var missed: Int { 0 }

    func start() {
        let loop = self.lane.eventLoop.assumeIsolated()
        loop.scheduleTask(deadline: .uptimeNanoseconds(self.end)) { self.stop() }
    }

    func stop() {
        guard !self.isFinished else { return }
        self.isFinished = true
        self.lane.workerFinished()
    }
}

/// Pushes to the spaces of its connections, now and then pulls what is new in one, and hears what the others push.
final class MixedWorker: PacedWorker {
    private let clients: [BenchClient]
    /// Of each client the cursor up to which it has pulled.
    private var cursors: [Int64]
    private let options: BenchOptions
    private let number: UInt32
    private var payload: BenchPayload
    private var random: SplitMix64

    init(
        _ lane: Lane, _ pacing: Pacing, clients: [BenchClient], number: Int, _ options: BenchOptions, seed: UInt64
    ) {
        self.clients = clients
        self.cursors = Array(repeating: 0, count: clients.count)
        self.options = options
        self.number = UInt32(number)
        self.payload = BenchPayload(recordBytes: options.recordBytes, hasDEK: options.hasDEK, seed: seed)
        self.random = SplitMix64(seed: ~seed)
        super.init(lane, pacing)
        for client in clients {
            client.onNotification = { params in
                guard let message = params.item, let stamp = BenchStamp.find(in: message) else { return }
                lane.recorder.record(
                    .delivery, intended: stamp.intended, end: BenchClock.now(), records: 1,
                    bytes: message.readableBytes)
            }
            client.onEnd = { failure in lane.recorder.fail("mixed: \(failure.description)") }
        }
    }

    override func send(intended: UInt64) {
        let open = self.clients.indices.filter { self.clients[$0].isOpen }
        guard let index = open.randomElement(using: &self.random) else { return self.gaveUp("no connection left") }
        if Double.random(in: 0..<1, using: &self.random) < self.options.pullShare {
            self.pull(index, intended)
        } else {
            self.push(index, intended)
        }
    }

    private func push(_ index: Int, _ intended: UInt64) {
        let stamp = BenchStamp(publisher: self.number, number: UInt64(self.sent), intended: intended)
        let params = self.payload.push(self.options.batch, to: self.clients[index].space, stamp)
        self.clients[index].send(.push, params) { answer in
            let failure = PushAnswer.failure(answer)
            if failure == nil {
                self.lane.recorder.record(
                    .push, intended: intended, end: BenchClock.now(), records: self.options.batch,
                    bytes: self.options.batch * self.options.recordBytes)
            }
            self.completed(failure: failure)
        }
    }

    private func pull(_ index: Int, _ intended: UInt64) {
        self.clients[index].pull(since: self.cursors[index]) { pulled in
            if pulled.failure == nil {
                self.cursors[index] = pulled.cursor ?? self.cursors[index]
                self.lane.recorder.record(
                    .pull, intended: intended, end: BenchClock.now(), records: pulled.records, bytes: pulled.bytes)
            }
            self.completed(failure: pulled.failure)
        }
    }
}

/// Sends a message to a server that sends it back.
final class EchoWorker: PacedWorker {
    private let client: BenchClient
    private let recordBytes: Int
    private let number: UInt32
    private var payload: BenchPayload

    init(_ lane: Lane, _ pacing: Pacing, client: BenchClient, number: Int, _ options: BenchOptions) {
        self.client = client
        self.recordBytes = options.recordBytes
        self.number = UInt32(number)
        self.payload = BenchPayload(recordBytes: options.recordBytes, hasDEK: false)
        super.init(lane, pacing)
        client.onMessage = { message in self.receive(message) }
        client.onEnd = { failure in self.gaveUp("echo: \(failure.description)") }
    }

    override func send(intended: UInt64) {
        self.client.sendBare(
            self.payload.stamped(.init(publisher: self.number, number: UInt64(self.sent), intended: intended)))
    }

    private func receive(_ message: ByteBuffer) -> Bool {
        guard let stamp = BenchStamp.find(in: message), stamp.publisher == self.number,
            stamp.number == UInt64(self.sent), message.readableBytes == self.recordBytes
        else {
            self.completed(failure: "echo: another message than was sent")
            return true
        }
        self.lane.recorder.record(
            .echo, intended: stamp.intended, end: BenchClock.now(), records: 1, bytes: self.recordBytes)
        self.completed(failure: nil)
        return true
    }
}
