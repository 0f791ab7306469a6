import NIOCore
import NIOHTTP1
import NIOPosix
import SyncBench
import SyncProtocol
import SyncServer
import SyncTesting
import SyncTransport
import Synchronization
import Testing

@Suite("Load generator against a server", .timeLimit(.minutes(2)))
struct BenchTests {
    private static func options(_ scenario: BenchOptions.Scenario, _ url: String) -> BenchOptions {
        var options = BenchOptions(scenario)
        options.url = url
        // Ended by their number, so that a slow machine takes longer and finds no less.
        options.duration = scenario == .idle ? .milliseconds(200) : .seconds(60)
        options.operationsMax = 60
        options.warmup = .zero
        options.recordBytes = 200
        return options
    }

    @Test("pushes to more spaces than clients, and to fewer", arguments: TestBackend.available)
    func push(on backend: TestBackend) async throws {
        try await Self.withDevServer(on: backend) { url in
            for spaces in [7, 2] {
                var options = Self.options(.push, url)
                options.clients = 3
                options.spaces = spaces
                options.batch = 4
                options.hasDEK = true
                options.threads = 2
                let lines = Mutex(0)
                let result = try await Bench(options).run { _ in lines.withLock { $0 += 1 } }
                #expect(result.failures == [:])
                #expect(result.isSuccess)
                let pushes = try #require(result.operations[.push])
                #expect(pushes.count > 0)
                #expect(pushes.records == 4 * pushes.count)
                #expect(result.operations[.connect]?.count == UInt64(max(3, spaces)))
            }
        }
    }

    @Test("a constant rate sends exactly what it promises")
    func constantRate() async throws {
        try await Self.withDevServer(on: .sqlite) { url in
            var options = Self.options(.push, url)
            options.clients = 4
            options.rate = 100
            options.operationsMax = nil
            options.duration = .milliseconds(300)
            options.family = .betterbase
            let result = try await Bench(options).run()
            #expect(result.failures == [:])
            #expect(Int(result.operations[.push]?.count ?? 0) + result.missed == 30)
        }
    }

    @Test("a count ends the run")
    func count() async throws {
        try await Self.withDevServer(on: .sqlite) { url in
            var options = Self.options(.push, url)
            options.clients = 4
            options.operationsMax = 9
            let result = try await Bench(options).run()
            #expect(result.isSuccess)
            #expect(result.operations[.push]?.count == 9)
        }
    }

    @Test("pulls find every record", arguments: TestBackend.available)
    func pull(on backend: TestBackend) async throws {
        try await Self.withDevServer(on: backend) { url in
            var options = Self.options(.pull, url)
            options.clients = 2
            options.records = 150
            let result = try await Bench(options).run()
            #expect(result.failures == [:])
            let pulls = try #require(result.operations[.pull])
            #expect(pulls.count > 0)
            #expect(pulls.records == 150 * pulls.count)
        }
    }

    @Test("every subscriber is told of every push", arguments: [nil, 40.0])
    func fanout(_ rate: Double?) async throws {
        try await Self.withDevServer(on: .sqlite) { url in
            var options = Self.options(.fanout, url)
            options.publishers = 3
            options.subscribers = 17
            options.spaces = 2
            options.window = 3
            options.rate = rate
            options.threads = 2
            let result = try await Bench(options).run()
            #expect(result.failures == [:])
            let pushes = try #require(result.operations[.push]).count
            #expect(Int(pushes) + result.missed == 60)
            let deliveries = try #require(result.operations[.delivery]).count
            // Of three publishers two share the space that nine are subscribed to.
            #expect(deliveries >= 8 * pushes)
            #expect(deliveries <= 9 * pushes)
            #expect(result.operations[.afterAnswer]?.count == deliveries)
        }
    }

    @Test("idle connections are held, and a mixture runs", arguments: TestBackend.available)
    func idleAndMixed(on backend: TestBackend) async throws {
        try await Self.withDevServer(on: backend) { url in
            var idle = Self.options(.idle, url)
            idle.clients = 20
            let held = try await Bench(idle).run()
            #expect(held.isSuccess)
            #expect(held.operations[.connect]?.count == 20)
            var mixed = Self.options(.mixed, url)
            mixed.clients = 6
            mixed.spaces = 2
            mixed.pullShare = 0.5
            let result = try await Bench(mixed).run()
            #expect(result.failures == [:])
            for metric in [BenchMetric.push, .pull, .delivery] { #expect((result.operations[metric]?.count ?? 0) > 0) }
        }
    }

    @Test("what the server refuses is counted, and the run ends early")
    func refused() async throws {
        try await Self.withDevServer(on: .sqlite, { $0.recordBlobBytesMax = 200 }) { url in
            var options = Self.options(.fanout, url)
            options.subscribers = 2
            // The preparation would fail first.
            options.recordBytes = 201
            await #expect(throws: BenchError.preparation("push: refused: payload_too_large")) {
                try await Bench(options).run()
            }
        }
    }

    @Test("a server that is not there, and one without tokens, are told")
    func noServer() async throws {
        var options = Self.options(.push, "http://127.0.0.1:1")
        await #expect(throws: BenchError.self) { try await Bench(options).run() }
        options.clients = 0
        await #expect(
            throws: BenchError.invalidOptions(["--clients must be 1...50000"])
        ) {
            try await Bench(options).run()
        }
    }

    @Test("echo and bare broadcast against plain WebSocket servers")
    func bare() async throws {
        try await PlainServer.with(.echo) { url in
            var options = Self.options(.echo, url)
            options.clients = 2
            let result = try await Bench(options).run()
            #expect(result.failures == [:])
            #expect((result.operations[.echo]?.count ?? 0) > 0)
        }
        try await PlainServer.with(.broadcast) { url in
            var options = Self.options(.fanout, url)
            options.isBare = true
            options.subscribers = 5
            options.window = 2
            let result = try await Bench(options).run()
            #expect(result.failures == [:])
            #expect((result.operations[.delivery]?.count ?? 0) > 0)
        }
    }

    @Test("a server that loses a message, and one that goes silent, fail the run")
    func loss() async throws {
        try await PlainServer.with(.lossy) { url in
            var options = Self.options(.fanout, url)
            options.isBare = true
            options.subscribers = 3
            options.rate = 100
            options.timeout = .seconds(4)
            let result = try await Bench(options).run()
            #expect(!result.isSuccess)
            // One each: the third message comes without the second.
            #expect(result.failures == ["notification lost, a later one of its publisher came": 3])
        }
        try await PlainServer.with(.silent) { url in
            var options = Self.options(.echo, url)
            options.duration = .milliseconds(200)
            options.timeout = .seconds(1)
            let result = try await Bench(options).run()
            #expect(!result.isSuccess)
            #expect(result.failures == ["no end in time": 1])
        }
    }

    private static func withDevServer(
        on backend: TestBackend, _ change: (inout ServerConfiguration) -> Void = { _ in },
        _ body: (_ url: String) async throws -> Void
    ) async throws {
        try await withTemporaryDirectory { directory in
            let issuer = try DevIssuer(directory: directory)
            try await backend.withServer({ server in
                change(&server.configuration)
                server.parts = Server.Parts(server.configuration)
                server.parts.devIssuer = issuer
            }) { try await body("http://127.0.0.1:\($0.port)") }
        }
    }
}

/// A WebSocket server that speaks no protocol.
private enum PlainServer {
    enum Manner: Sendable {
        case echo
        /// To all other connections.
        case broadcast
        /// As `broadcast`, without the second message.
        case lossy
        case silent
    }

    static func with(_ manner: Manner, _ body: (_ url: String) async throws -> Void) async throws {
        let (connections, continuation) = AsyncStream.makeStream(of: WebSocketConnection.self)
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let policy = HTTPFrontPolicy<Void> { _ in .upgrade(subprotocol: nil, ticket: ()) }
                    let events = HTTPFrontEvents<Void>(
                        installApplication: { _ in }, upgraded: { connection, _ in continuation.yield(connection) },
                        ended: {})
                    try HTTPFront.install(on: channel, policy: policy, events: events)
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let all = OpenConnections()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                await withDiscardingTaskGroup { sessions in
                    for await connection in connections {
                        all.add(connection)
                        sessions.addTask { await self.serve(connection, manner, all) }
                    }
                }
            }
            let result: Result<Void, any Error>
            do { result = .success(try await body("ws://127.0.0.1:\(channel.localAddress?.port ?? 0)/")) } catch {
                result = .failure(error)
            }
            continuation.finish()
            try await channel.close()
            try await group.waitForAll()
            try result.get()
        }
    }

    private static func serve(
        _ connection: WebSocketConnection, _ manner: Manner, _ all: OpenConnections
    ) async {
        var messages = 0
        while case .binary(let message) = await connection.receive() {
            messages += 1
            switch manner {
            case .silent: break
            case .echo: connection.enqueue(message)
            case .lossy where messages == 2: break
            case .broadcast, .lossy: for other in all.all where other !== connection { _ = other.offer(message) }
            }
        }
        connection.closeEcho()
        await connection.waitUntilClosed()
    }
}

private final class OpenConnections: Sendable {
    private let connections = Mutex<[WebSocketConnection]>([])

    var all: [WebSocketConnection] { self.connections.withLock { $0 } }

    func add(_ connection: WebSocketConnection) { self.connections.withLock { $0.append(connection) } }
}
