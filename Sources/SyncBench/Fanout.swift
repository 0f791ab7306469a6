import NIOCore
import SyncProtocol
import Synchronization

/// What the publishers and subscribers of one space know of each other, across event loops.
final class FanoutSpace: Sendable {
    // Fixed after init.
    let subscribers: Int
    private let window: Int?

    // Atomic.
    private let published = Atomic<Int>(0)
    private let delivered = Atomic<Int>(0)
    private let lost = Atomic<Int>(0)
    private let failed = Atomic<Bool>(false)

    // Guarded by itself.
    private let wakers = Mutex<[@Sendable () -> Void]>([])

    /// - Parameter window: broadcasts on their way at most; nil for no bound.
    init(subscribers: Int, window: Int?) {
        self.subscribers = subscribers
        self.window = window
    }

    /// A subscriber was lost, or a push refused: nothing after that would mean anything.
    var hasFailed: Bool { self.failed.load(ordering: .relaxed) }

    var isFull: Bool {
        guard let window = self.window else { return false }
        let completed = self.delivered.load(ordering: .acquiring) / self.subscribers
        return self.published.load(ordering: .acquiring) - completed >= window
    }

    /// Notifications that have not arrived, though a later one of the same publisher has. They can hardly come any more.
    var lostCount: Int { max(0, self.lost.load(ordering: .acquiring)) }

    /// Notifications that have not arrived, and may still come.
    var outstanding: Int {
        let published = self.published.load(ordering: .acquiring) * self.subscribers
        return max(0, published - self.delivered.load(ordering: .acquiring) - self.lostCount)
    }

    func addPublisher(_ wake: @escaping @Sendable () -> Void) { self.wakers.withLock { $0.append(wake) } }

    func publishing() { self.published.add(1, ordering: .acquiringAndReleasing) }

    /// A push that was sent will never be told of.
    func refused() { self.published.subtract(1, ordering: .acquiringAndReleasing) }

    func deliveredOne() {
        let count = self.delivered.add(1, ordering: .acquiringAndReleasing).newValue
        if self.window != nil, count % self.subscribers == 0 { self.wake() }
    }

    /// - Parameter count: Those that were left out; less than 0 when some of them come after all.
    func leftOut(_ count: Int) { self.lost.add(count, ordering: .acquiringAndReleasing) }

    func fail() {
        self.failed.store(true, ordering: .relaxed)
        self.wake()
    }

    private func wake() {
        for waker in self.wakers.withLock({ $0 }) { waker() }
    }
}

/// When the pushes of one publisher were answered; of the last 1,024.
final class PublisherLog: Sendable {
    static let size = 1_024

    private let answers = Mutex([(number: UInt64, instant: UInt64)](repeating: (0, 0), count: size))

    func answered(_ number: UInt64, at instant: UInt64) {
        self.answers.withLock { $0[Int(number % UInt64(Self.size))] = (number, instant) }
    }

    /// `nil` when it has not been answered, or long ago.
    func answer(to number: UInt64) -> UInt64? {
        let answer = self.answers.withLock { $0[Int(number % UInt64(Self.size))] }
        return answer.number == number ? answer.instant : nil
    }
}

/// Pushes to one space whose subscribers all have to hear of it; does not wait for the answers.
final class FanoutPublisher: PacedWorker {
    private let client: BenchClient
    private let space: FanoutSpace
    private let log: PublisherLog
    private let number: UInt32
    private let options: BenchOptions
    private var payload: BenchPayload

    /// Pushes of one publisher without an answer; the server takes them one by one.
    private static let requestsMax = PublisherLog.size / 2

    init(
        _ lane: Lane, _ pacing: Pacing, client: BenchClient, space: FanoutSpace, log: PublisherLog, number: Int,
        _ options: BenchOptions
    ) {
        self.client = client
        self.space = space
        self.log = log
        self.number = UInt32(number)
        self.options = options
        self.payload = BenchPayload(recordBytes: options.recordBytes, hasDEK: options.hasDEK)
        super.init(lane, pacing)
        // A plain server tells publishers of each other's messages too.
        if options.isBare { client.onMessage = { _ in true } }
        client.onEnd = { failure in
            lane.recorder.fail("publisher: \(failure.description)")
            space.fail()
        }
        let bound = NIOLoopBound(self, eventLoop: lane.eventLoop)
        let loop = lane.eventLoop
        space.addPublisher { loop.execute { bound.value.step() } }
    }

    override var isHeldBack: Bool {
        !self.isOver && (self.space.isFull || self.client.requestsInProgress >= Self.requestsMax)
    }

    override var isOver: Bool { self.space.hasFailed || !self.client.isOpen }

    override func send(intended: UInt64) {
        let stamp = BenchStamp(publisher: self.number, number: UInt64(self.sent), intended: intended)
        self.space.publishing()
        if self.options.isBare {
            self.client.sendBare(self.payload.stamped(stamp))
        } else {
            self.push(stamp)
        }
        self.completed(failure: nil)
    }

    private func push(_ stamp: BenchStamp) {
        let params = self.payload.push(self.options.batch, to: self.client.space, stamp)
        self.client.send(.push, params) { answer in
            let now = BenchClock.now()
            if let failure = PushAnswer.failure(answer) {
                self.space.refused()
                self.lane.recorder.fail(failure)
                // What follows would be refused too, and out of order.
                return self.space.fail()
            }
            self.log.answered(stamp.number, at: self.lane.arrival())
            self.lane.recorder.record(
                .push, intended: stamp.intended, end: now, records: self.options.batch,
                bytes: self.options.batch * self.options.recordBytes)
            self.step()
        }
    }
}

/// Takes the notifications of one connection, which must come without gap in the order of each publisher.
final class FanoutSubscriber {
    private let lane: Lane
    private let space: FanoutSpace
    private let logs: [PublisherLog]
    /// Of each publisher the number of its last push.
    private var last: [UInt32: UInt64] = [:]

    init(_ lane: Lane, client: BenchClient, space: FanoutSpace, logs: [PublisherLog]) {
        self.lane = lane
        self.space = space
        self.logs = logs
        client.onMessage = { message in self.receive(message) }
        client.onEnd = { failure in
            self.lane.recorder.fail("subscriber: \(failure.description)")
            self.space.fail()
        }
    }

    private func receive(_ message: ByteBuffer) -> Bool {
        guard let stamp = BenchStamp.find(in: message) else { return false }
        // Of the preparation.
        guard stamp.publisher < self.logs.count else { return true }
        let now = BenchClock.now()
        self.space.deliveredOne()
        let last = self.last[stamp.publisher, default: 0]
        if stamp.number > last {
            self.space.leftOut(Int(clamping: stamp.number - last - 1))
            self.last[stamp.publisher] = stamp.number
        } else {
            self.space.leftOut(-1)
            self.lane.recorder.fail("notification out of order")
        }
        self.lane.recorder.record(
            .delivery, intended: stamp.intended, end: now, records: 1, bytes: message.readableBytes)
        let arrival = self.lane.arrival()
        let answered = self.logs[Int(stamp.publisher)].answer(to: stamp.number) ?? arrival
        self.lane.recorder.record(
            .afterAnswer, latency: arrival - min(answered, arrival), intended: stamp.intended, end: now)
        return true
    }
}
