import NIOCore
import SyncProtocol

/// Pushes a number of records to one space, in few large pushes. Belongs to the client's event loop.
final class SpaceFiller {
    private let client: BenchClient
    private let batchMax: Int
    private let promise: EventLoopPromise<Void>
    private var payload: BenchPayload
    private var records: Int

    private static let bytesMax = 1 << 20

    init(
        _ client: BenchClient, _ options: BenchOptions, records: Int, _ promise: EventLoopPromise<Void>
    ) {
        self.client = client
        self.batchMax = max(1, Self.bytesMax / (options.recordBytes + BenchOptions.changeOverhead))
        self.promise = promise
        self.payload = BenchPayload(recordBytes: options.recordBytes, hasDEK: options.hasDEK)
        self.records = records
    }

    func step() {
        guard self.records > 0 else { return self.promise.succeed() }
        let batch = min(self.records, self.batchMax)
        self.records -= batch
        // No publisher: subscribers do not count it.
        let stamp = BenchStamp(publisher: .max, number: 0, intended: 0)
        self.client.send(.push, self.payload.push(batch, to: self.client.space, stamp)) { answer in
            if let failure = PushAnswer.failure(answer) {
                self.promise.fail(BenchError.preparation(failure))
            } else {
                self.step()
            }
        }
    }
}
