import Benchmark
import Logging
import Metrics
import NIOCore
import SyncAuth
import SyncCore
import SyncProtocol
import SyncTesting

/// One broadcast, from the values to the queues of all subscribers. The subscribers do nothing.
func registerBrokerBenchmarks() {
    let space = SpaceID.random()
    let sync = SyncNotification(
        space: space, prev: 41, cursor: 42, keyGeneration: 1, rewrapEpoch: nil,
        records: (0..<2).map { number in
            RecordEntry(
                space: nil, id: .fixture(number), blob: ByteBuffer(repeating: 7, count: 10), cursor: 42, dek: nil,
                deleted: false)
        })
    let membership = MembershipNotification(
        space: space, cursor: 42,
        entries: [
            MembershipEntry(
                chainSequence: 1, previousHash: nil, entryHash: ByteBuffer(repeating: 1, count: 32),
                payload: ByteBuffer(repeating: 2, count: 64))
        ])
    for count in [10, 100, 1_000] {
        let broker = Broker(
            connectionsPerMailboxMax: nil, metrics: CoreMetrics(factory: NOOPMetricsHandler.instance),
            logger: Logger(label: "benchmark") { _ in SwiftLogNoOpLogHandler() })
        for _ in 0..<count {
            let subscriber = Subscriber(
                id: .random(), connection: SilentConnection(), mailbox: MailboxKey(.fixture()))
            _ = broker.register(subscriber)
            broker.subscribe(subscriber.id, to: [space])
        }
        Benchmark("multi_broker_broadcast_sync/fanout/\(count)", configuration: Benchmark.microbenchmark) { benchmark in
            benchmark.sample { blackHole(broker.publish(FrameEncoder.sync(sync), to: space, except: nil)) }
        }
        Benchmark("multi_broker_broadcast_membership/fanout/\(count)", configuration: Benchmark.microbenchmark) {
            benchmark in
            benchmark.sample {
                let frame = FrameEncoder.notification(method: .membership, params: membership)
                blackHole(broker.publish(frame, to: space, except: nil))
            }
        }
    }
}

/// Takes every frame and forgets it.
private final class SilentConnection: FrameConnection {
    func receive() async -> ReceivedMessage { .ended(.closedLocally) }
    func offer(_ frame: ByteBuffer) -> OfferResult { .queued }
    func enqueue(_ frame: ByteBuffer) {}
    func room() async throws(ConnectionEnded) {}
    func close(_ frame: CloseFrame) {}
    func closeDiscardingQueue(_ frame: CloseFrame) {}
    func closeEcho() {}
    func waitUntilClosed() async {}
}
