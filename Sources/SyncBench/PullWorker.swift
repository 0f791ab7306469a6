import NIOCore
import SyncProtocol

/// Pulls the spaces of its connections from the beginning, in random order.
final class PullWorker: PacedWorker {
    private let clients: [BenchClient]
    /// Records that each space holds at least.
    private let recordsMin: Int
    private var random: SplitMix64

    init(_ lane: Lane, _ pacing: Pacing, clients: [BenchClient], recordsMin: Int, seed: UInt64) {
        self.clients = clients
        self.recordsMin = recordsMin
        self.random = SplitMix64(seed: seed)
        super.init(lane, pacing)
    }

    override func send(intended: UInt64) {
        guard let client = self.clients.randomOpenElement(using: &self.random) else {
            return self.gaveUp("no connection left")
        }
        client.pull(since: 0) { pulled in
            var failure = pulled.failure
            if failure == nil, pulled.records < self.recordsMin {
                failure = "pull: \(pulled.records) records instead of \(self.recordsMin)"
            }
            if failure == nil {
                self.lane.recorder.record(
                    .pull, intended: intended, end: BenchClock.now(), records: pulled.records, bytes: pulled.bytes)
            }
            self.completed(failure: failure)
        }
    }
}

/// What a pull has brought.
struct Pulled {
    var records = 0
    /// Of the chunks' data.
    var bytes = 0
    /// Of the space; `nil` when the server left the space out.
    var cursor: Int64?
    var failure: String?

    fileprivate var chunks: Int64 = 0
    fileprivate var entries: Int64 = 0

    fileprivate mutating func add(_ name: String, _ data: FramePayload) {
        self.chunks += 1
        self.bytes += data.item?.readableBytes ?? 0
        switch ChunkName(rawValue: name) {
        case .pullBegin: self.entries = 0
        case .pullRecord:
            self.records += 1
            self.entries += 1
        case .pullMembership, .pullFile: self.entries += 1
        case .pullCommit:
            guard let commit = try? data.decode(as: PullCommit.self), commit.count == self.entries else {
                return self.failure = "pull: wrong count"
            }
            self.cursor = commit.cursor
        default: self.failure = "pull: unknown chunk"
        }
    }

    fileprivate mutating func finish(_ answer: BenchClient.Answer) {
        switch answer {
        case .failure(let failure): self.failure = "pull: \(failure.description)"
        case .success(let payload):
            if (try? payload.decode(as: ChunkCount.self))?.chunks != self.chunks { self.failure = "pull: wrong count" }
            if self.cursor == nil { self.failure = self.failure ?? "pull: the space was left out" }
        }
    }
}

extension BenchClient {
    /// Pulls this client's space; every count of the server is checked against what came.
    func pull(since: Int64, _ done: @escaping (Pulled) -> Void) {
        let params = PullParams(spaces: [.init(id: self.space, since: since)])
        // Shared by the two closures, on one event loop.
        final class Box { var pulled = Pulled() }
        let box = Box()
        self.send(.pull, params, onChunk: { box.pulled.add($0, $1) }) { answer in
            box.pulled.finish(answer)
            done(box.pulled)
        }
    }
}
