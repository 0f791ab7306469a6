import NIOCore
import NIOHTTP1
import NIOPosix
import SyncProtocol
import SyncTesting
import Synchronization
import Testing

@testable import SyncTransport

/// Answers a request when the channel is writable, not before.
private final class PatientApplication: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private var isAsked = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .end = self.unwrapInboundIn(data) else { return }
        self.isAsked = true
        self.answer(context)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) { self.answer(context) }

    private func answer(_ context: ChannelHandlerContext) {
        guard self.isAsked, context.channel.isWritable else { return }
        self.isAsked = false
        let head = HTTPResponseHead(version: .http1_1, status: .ok, headers: ["Content-Length": "2000"])
        context.write(self.wrapOutboundOut(.head(head)), promise: nil)
        context.write(self.wrapOutboundOut(.body(.byteBuffer(ByteBuffer(repeating: 1, count: 2_000)))), promise: nil)
        context.writeAndFlush(self.wrapOutboundOut(.end(nil)), promise: nil)
    }
}

@Suite("Responses that nobody reads", .timeLimit(.minutes(5)))
struct UnreadResponseTests {
    private static func request(_ path: String, _ headers: String = "") -> String {
        "GET \(path) HTTP/1.1\r\nHost: x\r\n\(headers)\r\n"
    }

    /// More than the sockets of both sides hold the responses to.
    private static let requests = 80_000

    private func run(_ body: (TestServer) async throws -> Void) async throws {
        try await TestServer.run {
            $0.timeouts.progress = .milliseconds(200)
        } application: { channel in
            try channel.pipeline.syncOperations.addHandler(PatientApplication())
        } _: { server in
            try await body(server)
        }
    }

    private func clientThatReadsNothing(of server: TestServer) async throws -> any Channel {
        try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.autoRead, value: false)
            .connect(host: "127.0.0.1", port: server.port).get()
    }

    @Test("the connection ends, whoever gives the responses", arguments: ["/app", "/none"])
    func pipelined(path: String) async throws {
        try await self.run { server in
            let client = try await self.clientThatReadsNothing(of: server)
            let requests = String(repeating: Self.request(path), count: Self.requests)
            client.writeAndFlush(ByteBuffer(string: requests), promise: nil)
            try await eventually("the connection ends") { !client.isActive }
        }
    }

    @Test("a client that reads gets all responses, though the socket did not take them at once")
    func taken() async throws {
        try await self.run { server in
            let client = try await RawClient.connect(port: server.port)
            try await client.channel.setOption(.autoRead, value: false).get()
            let count = 5_000
            let last = Self.request("/app", "Connection: close\r\n")
            let requests = String(repeating: Self.request("/app"), count: count) + last
            async let sent: Void = client.send(requests)
            try await client.channel.setOption(.autoRead, value: true).get()
            client.channel.read()
            let received = await client.wait()
            try await sent
            #expect(received.readableBytes > 2_000 * (count + 1))
            await client.close()
        }
    }

    @Test("the kernel holds little of what it cannot send yet, except for a WebSocket")
    func unsent() async throws {
        let accepted = Mutex<(any Channel)?>(nil)
        try await TestServer.run { _ in
        } application: { channel in
            accepted.withLock { $0 = channel }
            try channel.pipeline.syncOperations.addHandler(PatientApplication())
        } _: { server in
            let client = try await RawClient.connect(port: server.port)
            try await client.send(Self.request("/app"))
            await client.wait { $0.readableBytes > 2_000 }
            let channel = try #require(accepted.withLock { $0 })
            #expect(try await channel.getOption(UnsentBytes.option).get() == 131_072)
            try await client.send(RawClient.upgrade())
            let connection = try await server.nextConnection()
            #expect(try await channel.getOption(UnsentBytes.option).get() == 0)
            await client.close()
            // With a reset when the client has not read all that was sent to it.
            guard case .ended = await connection.receive() else { throw StillOpen() }
            connection.closeEcho()
            await connection.waitUntilClosed()
        }
    }

    private struct StillOpen: Error {}

    #if os(Linux)
        @Test("what the other side has taken is known")
        func acknowledged() async throws {
            try await self.run { server in
                let client = try await RawClient.connect(port: server.port)
                let channel = client.channel
                let before = try #require(try await channel.eventLoop.submit { channel.acknowledgedBytes }.get())
                let request = Self.request("/app")
                try await client.send(request)
                try await eventually("the request is acknowledged") {
                    let bytes = try await channel.eventLoop.submit { channel.acknowledgedBytes }.get()
                    return bytes == before + UInt64(request.utf8.count)
                }
                await client.close()
            }
        }
    #endif
}
