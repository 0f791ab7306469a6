import NIOCore

/// What the workers with a plan have in common: one operation in progress at most, the next when the plan says so.
class PacedWorker: Worker {
    let lane: Lane
    private var pacing: Pacing
    private var isInProgress = false
    private var isStepping = false
    private var isFinished = false
    private var failuresInARow = 0

    /// Operations in a row that may fail before a worker gives up.
    private static let failuresMax = 20

    init(_ lane: Lane, _ pacing: Pacing) {
        self.lane = lane
        self.pacing = pacing
    }

    // MARK: For subclasses

    /// Sends one operation; `completed` follows, before this returns or later.
    func send(intended: UInt64) {}

    /// Whether the next operation has to wait for something else than its time. Whatever changes this calls `step()`.
    var isHeldBack: Bool { false }

    /// Whether to send nothing more, whatever the plan says.
    var isOver: Bool { false }

    /// Operations sent so far, the one in progress included.
    final var sent: Int { self.pacing.sent }

    /// The operation in progress has ended; `failure` says why it did not succeed.
    final func completed(failure: String?) {
        self.isInProgress = false
        if let failure {
            self.lane.recorder.fail(failure)
            self.failuresInARow += 1
            if self.failuresInARow >= Self.failuresMax { return self.finish() }
        } else {
            self.failuresInARow = 0
        }
        self.step()
    }

    /// The operation in progress has failed, and none after it could succeed.
    final func gaveUp(_ failure: String) {
        self.isInProgress = false
        self.lane.recorder.fail(failure)
        self.finish()
    }

    // MARK: Worker

    final var missed: Int { self.pacing.missed }

    final func start() { self.step(at: self.pacing.start) }

    final func stop() { self.finish() }

    /// Sends what is due.
    final func step() {
        guard !self.isStepping else { return }
        self.isStepping = true
        defer { self.isStepping = false }
        while !self.isFinished, !self.isInProgress, !self.isHeldBack {
            if self.isOver { return self.finish() }
            switch self.pacing.next(at: BenchClock.now()) {
            case .send(let intended):
                self.isInProgress = true
                self.send(intended: intended)
            case .wait(let instant): return self.step(at: instant)
            case .finished: return self.finish()
            }
        }
    }

    private func step(at instant: UInt64) {
        let loop = self.lane.eventLoop.assumeIsolated()
        loop.scheduleTask(deadline: .uptimeNanoseconds(instant)) { self.step() }
    }

    private func finish() {
        guard !self.isFinished else { return }
        self.isFinished = true
        self.lane.workerFinished()
    }
}
