import NIOCore
import NIOHTTP1
import NIOPosix
import SyncProtocol
import Synchronization

@testable import SyncTransport

/// A socket server of nothing but `HTTPFront`: `/ws` becomes a WebSocket, everything else is answered by the front.
final class TestServer: Sendable {
    typealias Policy = HTTPFrontPolicy<String>

    private let channel: any Channel
    /// Connections in the order of their upgrades.
    private let accepted: AsyncStream<WebSocketConnection>
    let port: Int

    private init(channel: any Channel, accepted: AsyncStream<WebSocketConnection>) {
        self.channel = channel
        self.accepted = accepted
        self.port = channel.localAddress?.port ?? 0
    }

    var url: String { "ws://127.0.0.1:\(self.port)/ws" }

    /// Runs `body` with a server, and closes it.
    static func run<Result>(
        _ configure: (inout Policy) -> Void = { _ in },
        application: @escaping @Sendable (any Channel) throws -> Void = { _ in },
        _ body: (TestServer) async throws -> Result
    ) async throws -> Result {
        var policy = Policy { head in
            switch head.uri {
            case "/ws":
                let offered = head.headers.first(name: "sec-websocket-protocol")?.split(separator: ",").first
                return .upgrade(subprotocol: offered.map(String.init), ticket: head.uri)
            case "/app": return .pass
            default: return .respond(HTTPFrontResponse(.notFound, body: "nothing here"))
            }
        }
        configure(&policy)
        let (accepted, continuation) = AsyncStream.makeStream(of: WebSocketConnection.self)
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.backlog, value: 1_024)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { [policy] channel in
                channel.eventLoop.makeCompletedFuture {
                    let events = HTTPFrontEvents<String>(
                        installApplication: application, upgraded: { connection, _ in continuation.yield(connection) },
                        ended: {})
                    try HTTPFront.install(on: channel, policy: policy, events: events)
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let server = TestServer(channel: channel, accepted: accepted)
        do {
            let result = try await body(server)
            try await channel.close()
            return result
        } catch {
            try? await channel.close()
            throw error
        }
    }

    func nextConnection() async throws -> WebSocketConnection {
        for await connection in self.accepted { return connection }
        throw ChannelError.eof
    }
}

/// A socket that sends and receives whatever a test wants.
struct RawClient {
    let channel: any Channel
    private let collector: Collector

    /// Collects what arrives; tests wait for a state of it.
    final class Collector: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer

        struct State {
            var received = ByteBuffer()
            var hasEnded = false
            /// What somebody waits for, unless it is the end.
            var isAwaited: @Sendable (ByteBuffer) -> Bool = { _ in false }
            var waiter: CheckedContinuation<Void, Never>?

            var isReady: Bool { self.hasEnded || self.isAwaited(self.received) }
        }

        let state = Mutex(State())

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = self.unwrapInboundIn(data)
            self.change { $0.received.writeImmutableBuffer(bytes) }
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if case ChannelEvent.inputClosed = event { self.change { $0.hasEnded = true } }
        }

        func channelInactive(context: ChannelHandlerContext) { self.change { $0.hasEnded = true } }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

        func change(_ body: (inout State) -> Void) {
            let waiter = self.state.withLock { state in
                body(&state)
                return state.waiter != nil && state.isReady ? state.waiter.take() : nil
            }
            waiter?.resume()
        }
    }

    static func connect(port: Int) async throws -> RawClient {
        let collector = Collector()
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelInitializer { $0.pipeline.addHandler(collector) }
            .connect(host: "127.0.0.1", port: port).get()
        return RawClient(channel: channel, collector: collector)
    }

    func send(_ text: String) async throws { try await self.channel.writeAndFlush(ByteBuffer(string: text)) }

    func send(_ bytes: ByteBuffer) async throws { try await self.channel.writeAndFlush(bytes) }

    /// Waits until what arrived satisfies `condition`, the stream has ended, or the task is cancelled.
    @discardableResult
    func wait(until condition: @escaping @Sendable (ByteBuffer) -> Bool = { _ in false }) async -> ByteBuffer {
        self.collector.state.withLock { $0.isAwaited = condition }
        await self.collector.state.wait(at: \.waiter) { $0.isReady }
        return self.collector.state.withLock { $0.received }
    }

    func text(until condition: @escaping @Sendable (String) -> Bool = { _ in false }) async -> String {
        String(buffer: await self.wait { condition(String(buffer: $0)) })
    }

    var hasEnded: Bool { self.collector.state.withLock { $0.hasEnded } }

    func close() async { try? await self.channel.close() }

    static func upgrade(_ path: String = "/ws", protocols: String? = "less-rpc-v1") -> String {
        let offer = protocols.map { "Sec-WebSocket-Protocol: \($0)\r\n" } ?? ""
        return "GET \(path) HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\(offer)"
            + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    }

    /// Upgrades and drops the response, so that frames follow.
    static func webSocket(port: Int) async throws -> (client: RawClient, response: String) {
        let client = try await RawClient.connect(port: port)
        try await client.send(Self.upgrade())
        let response = await client.text { $0.hasSuffix("\r\n\r\n") }
        client.collector.change { $0.received.clear() }
        return (client, response)
    }
}
