import Logging
import MetricsTestKit
import NIOCore
import SyncAuth
import SyncProtocol
import SyncStorage
import SyncTesting
import Synchronization
import Testing

@testable import SyncCore

@Suite("Space service", .timeLimit(.minutes(5)))
struct SpaceServiceTests {
    private let alice = Principal.fixture("alice")

    private enum Event: Hashable {
        case answered(Int64)
        case announced(Int64)
    }

    @Test(
        "wire §13 rows 5 and 8: each answer before its own broadcast, both in cursor order, under concurrent pushes",
        arguments: TestBackend.available)
    func order(on backend: TestBackend) async throws {
        try await backend.withStorage { database in
            let events = EventLog<Event>()
            let metrics = CoreMetrics(factory: TestMetrics())
            let broker = Broker(
                connectionsPerMailboxMax: nil, metrics: metrics,
                logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
            let watcher = Subscriber(
                id: .random(),
                connection: ProbeConnection { frame in
                    guard case .notification("sync", let params)? = try? FrameDecoder.decodeServerFrame(frame),
                        let sync = try? params.decode(as: SyncNotification.self)
                    else { return }
                    events.append(.announced(sync.cursor))
                },
                mailbox: MailboxKey(alice))
            #expect(broker.register(watcher))
            broker.subscribe(watcher.id, to: [alice.space])
            let service = SpaceService(
                storage: database.storage, broker: broker,
                relay: ChangeRelay(
                    storage: database.storage, broker: broker, authorities: .idle(broker), clock: ContinuousClock(),
                    logger: Logger(label: "test")),
                authorities: .idle(broker), pushLimits: PushLimits(), metrics: metrics)
            let grant = try await SpaceAuthorizer(store: database.storage)
                .authorizeWrite(alice, to: alice.space, ucan: "")

            let pushes = 100
            await withTaskGroup(of: Void.self) { group in
                for number in 1...pushes {
                    group.addTask {
                        await service.push([.fixture(number)], to: grant, from: .random()) { result in
                            if case .success(let cursor) = result { events.append(.answered(cursor)) }
                        }
                    }
                }
            }
            #expect(events.all == (1...Int64(pushes)).flatMap { [.answered($0), .announced($0)] })
        }
    }
}
