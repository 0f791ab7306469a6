import NIOCore
import SyncProtocol

/// Pushes to the spaces of its connections, in random order.
final class PushWorker: PacedWorker {
    private let clients: [BenchClient]
    private let batch: Int
    private let recordBytes: Int
    private let publisher: UInt32
    private var payload: BenchPayload
    private var random: SplitMix64

    init(
        _ lane: Lane, _ pacing: Pacing, clients: [BenchClient], number: Int, _ options: BenchOptions, seed: UInt64
    ) {
        self.clients = clients
        self.batch = options.batch
        self.recordBytes = options.recordBytes
        self.publisher = UInt32(number)
        self.payload = BenchPayload(recordBytes: options.recordBytes, hasDEK: options.hasDEK, seed: seed)
        self.random = SplitMix64(seed: ~seed)
        super.init(lane, pacing)
    }

    override func send(intended: UInt64) {
        guard let client = self.clients.randomOpenElement(using: &self.random) else {
            return self.gaveUp("no connection left")
        }
        let stamp = BenchStamp(publisher: self.publisher, number: UInt64(self.sent), intended: intended)
        let params = self.payload.push(self.batch, to: client.space, stamp)
        client.send(.push, params) { answer in
            let now = BenchClock.now()
            let failure = PushAnswer.failure(answer)
            if failure == nil {
                self.lane.recorder.record(
                    .push, intended: intended, end: now, records: self.batch, bytes: self.batch * self.recordBytes)
            }
            self.completed(failure: failure)
        }
    }
}

/// What the answer to a push says.
enum PushAnswer {
    /// Why the push was not accepted, if it was not.
    static func failure(_ answer: BenchClient.Answer) -> String? {
        switch answer {
        case .failure(let failure): return "push: \(failure.description)"
        case .success(let payload):
            switch try? payload.decode(as: PushResult.self) {
            case .accepted: return nil
            case .refused(let code): return "push: refused: \(code.rawValue)"
            case nil: return "push: undecodable answer"
            }
        }
    }
}

extension [BenchClient] {
    /// Any that is still open; the first choice is fair.
    func randomOpenElement(using random: inout SplitMix64) -> BenchClient? {
        guard !self.isEmpty else { return nil }
        let start = Int(random.next() % UInt64(self.count))
        for offset in self.indices {
            let client = self[(start + offset) % self.count]
            if client.isOpen { return client }
        }
        return nil
    }
}
