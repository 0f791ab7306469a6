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
    for count in [10, 100, 1_000] {
        let fixture: @Sendable () async throws -> Audience = { try await Audience.gather(count) }
        Benchmark.with(
            "multi_broker_broadcast_sync/fanout/\(count)", Benchmark.microbenchmark, fixture: fixture
        ) { benchmark, audience in
            let sync = SyncNotification(
                space: audience.space, prev: 41, cursor: 42, keyGeneration: 1, rewrapEpoch: nil,
                records: (0..<2).map { number in
                    RecordEntry(
                        space: nil, id: .fixture(number), blob: ByteBuffer(repeating: 7, count: 10), cursor: 42,
                        dek: nil, deleted: false)
                })
            audience.check(audience.publish(FrameEncoder.sync(sync)), benchmark)
            benchmark.sample { blackHole(audience.publish(FrameEncoder.sync(sync))) }
        }
        Benchmark.with(
            "multi_broker_broadcast_membership/fanout/\(count)", Benchmark.microbenchmark, fixture: fixture
        ) { benchmark, audience in
            let membership = MembershipNotification(
                space: audience.space, cursor: 42,
                entries: [
                    MembershipEntry(
                        chainSequence: 1, previousHash: nil, entryHash: ByteBuffer(repeating: 1, count: 32),
                        payload: ByteBuffer(repeating: 2, count: 64))
                ])
            benchmark.sample {
                blackHole(audience.publish(FrameEncoder.notification(method: .membership, params: membership)))
            }
        }
    }
}

/// Subscribers of one space.
private struct Audience: BenchmarkFixture {
    let broker: Broker
    let space: SpaceID
    let count: Int

    static func gather(_ count: Int) async throws -> Audience {
        let owner = Principal.fixture()
        guard let space = owner.personalSpace else { throw AuthorizationError.refused(.unknownSpace) }
        // One's own space is granted without a look into the database.
        let database = try await Database.open(.sqlite)
        let authorizer = SpaceAuthorizer(store: database.storage)
        let grant = try await authorizer.authorizeRead(owner, of: space, ucan: "")
        try await database.close()
        let broker = Broker(
            connectionsPerMailboxMax: nil, metrics: CoreMetrics(factory: NOOPMetricsHandler.instance),
            logger: Logger(label: "benchmark") { _ in SwiftLogNoOpLogHandler() })
        for _ in 0..<count {
            let subscriber = Subscriber(id: .random(), connection: SilentConnection(), mailbox: MailboxKey(owner))
            _ = broker.register(subscriber)
            let attempts = broker.subscribe(subscriber.id, to: [grant]).map { (attempt: $0, hasSucceeded: true) }
            broker.settle(subscriber.id, attempts) { _ in }
        }
        return Audience(broker: broker, space: space, count: count)
    }

    func publish(_ frame: ByteBuffer) -> Int { self.broker.publish(frame, to: self.space, except: nil) }

    func check(_ delivered: Int, _ benchmark: Benchmark) {
        if delivered != self.count { benchmark.error("\(delivered) deliveries instead of \(self.count)") }
    }

    func close() {}
}

/// Takes every frame and forgets it.
private final class SilentConnection: FrameConnection {
    func receive() async -> ReceivedMessage { .ended(.closedLocally) }
    func offer(_ notification: Broadcast) -> OfferResult { .queued }
    func enqueue(_ frame: ByteBuffer) {}
    func room() async throws(ConnectionEnded) {}
    func close(_ frame: CloseFrame) {}
    func closeDiscardingQueue(_ frame: CloseFrame) {}
    func closeEcho() {}
    func waitUntilClosed() async {}
    func whenClosed(_ body: @escaping @Sendable () -> Void) {}
}
