import NIOCore
import NIOHTTP1
import NIOPosix
import SyncProtocol
import Testing

@testable import SyncTransport

@Suite("WebSocket client and server over sockets", .timeLimit(.minutes(5)))
struct WebSocketClientTests {
    private func pair(
        _ configure: (inout TestServer.Policy) -> Void = { _ in }, client: WebSocketConfiguration = .client,
        _ body: (_ server: WebSocketConnection, _ client: WebSocketConnection) async throws -> Void
    ) async throws {
        try await TestServer.run(configure) { server in
            var options = WebSocketClient.Options(subprotocols: ["less-rpc-v1"])
            options.connection = client
            let local = try await WebSocketClient.connect(to: server.url, options)
            let remote = try await server.nextConnection()
            #expect(local.subprotocol == "less-rpc-v1")
            try await body(remote, local)
            local.closeEcho()
            remote.closeEcho()
            await local.waitUntilClosed()
            await remote.waitUntilClosed()
        }
    }

    @Test("messages of all sizes pass both ways")
    func bothWays() async throws {
        try await pair { server, client in
            for count in [0, 1, 125, 126, 4_097, 65_536, 1_000_000, Limits.messageBytesMax] {
                let payload = ByteBuffer(bytes: (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) })
                client.enqueue(payload)
                #expect(await server.receive() == .binary(payload))
                server.enqueue(payload)
                #expect(await client.receive() == .binary(payload))
            }
        }
    }

    @Test("W-45: a message above the limit ends with 1009, although the client is still sending")
    func tooBig() async throws {
        try await pair { server, client in
            client.enqueue(ByteBuffer(repeating: 0, count: Limits.messageBytesMax + 1))
            #expect(await server.receive() == .ended(.failed))
            await server.waitUntilClosed()
        }
        try await TestServer.run { server in
            let (client, _) = try await RawClient.webSocket(port: server.port)
            let connection = try await server.nextConnection()
            async let received = connection.receive()
            try await client.send(TestFrame(payload: [], declaredLength: 100_000_000).bytes)
            for _ in 0..<16 { try? await client.send(ByteBuffer(repeating: 0, count: 65_536)) }
            #expect(await received == .ended(.failed))
            #expect(await client.wait() == TestFrame.close(1009, "message too big", mask: nil))
            await connection.waitUntilClosed()
        }
    }

    @Test("W-64: unmasked frames end with 1002")
    func unmasked() async throws {
        try await TestServer.run { server in
            let (client, response) = try await RawClient.webSocket(port: server.port)
            #expect(response.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
            let connection = try await server.nextConnection()
            async let received = connection.receive()
            try await client.send(TestFrame.binary([1], mask: nil))
            #expect(await received == .ended(.failed))
            #expect(await client.wait() == TestFrame.close(1002, "unmasked frame", mask: nil))
            await connection.waitUntilClosed()
        }
    }

    @Test("the client learns the server's close code; the server waits for the answer")
    func closing() async throws {
        // Longer than a busy machine takes to get here: the server must not give up on the answer.
        try await TestServer.run({ $0.webSocket.closeWait = .seconds(30) }) { server in
            let (client, _) = try await RawClient.webSocket(port: server.port)
            let connection = try await server.nextConnection()
            connection.enqueue(ByteBuffer(bytes: [1]))
            connection.close(.tooManyConnections)
            let expected = TestFrame.binary([1], mask: nil) + TestFrame.close(4003, "too many connections", mask: nil)
            #expect(await client.wait { $0.readableBytes >= expected.readableBytes } == expected)
            #expect(!client.hasEnded)
            try await client.send(TestFrame.close(4003))
            await client.wait()
            #expect(client.hasEnded)
            await client.close()
            await connection.waitUntilClosed()
            #expect(connection.dropReason == nil)
        }
    }

    @Test("a peer that does not read fills the queue, then room comes back as it reads")
    func backPressure() async throws {
        try await pair { server, client in
            let frame = ByteBuffer(repeating: 1, count: 262_144)
            var sent = 0
            while server.offer(frame) == .queued {
                sent += 1
                try #require(sent < 1_000, "the queue never fills")
                try await Task.sleep(for: .milliseconds(1))
            }
            #expect(server.offer(frame) == .full)
            async let room: Void = server.room()
            for _ in 0..<sent { #expect(await client.receive() == .binary(frame)) }
            try await room
            #expect(server.offer(frame) == .queued)
            #expect(await client.receive() == .binary(frame))
        }
    }

    @Test("the socket is not read while nobody receives")
    func inboundBackPressure() async throws {
        try await pair { server, client in
            let frame = ByteBuffer(repeating: 1, count: 1_048_576)
            var sent = 0
            while client.offer(frame) == .queued {
                sent += 1
                try #require(sent < 1_000, "the server reads without end")
                try await Task.sleep(for: .milliseconds(1))
            }
            for _ in 0..<sent { #expect(await server.receive() == .binary(frame)) }
        }
    }

    @Test("R1: a peer that takes nothing for the stall time is reset")
    func writeStall() async throws {
        try await TestServer.run {
            $0.webSocket.writeStallMax = .milliseconds(300)
        } _: { server in
            let (client, _) = try await RawClient.webSocket(port: server.port)
            try await client.channel.setOption(.autoRead, value: false).get()
            let connection = try await server.nextConnection()
            for _ in 0..<4 { connection.enqueue(ByteBuffer(repeating: 0, count: 4_000_000)) }
            await #expect(throws: ConnectionEnded()) { try await connection.room() }
            #expect(connection.dropReason == .writeStall)
            await connection.waitUntilClosed()
            await client.close()
        }
    }

    @Test("a close that cannot be sent is given up")
    func closeTimeout() async throws {
        try await TestServer.run {
            $0.webSocket.writeStallMax = .milliseconds(300)
        } _: { server in
            let (client, _) = try await RawClient.webSocket(port: server.port)
            try await client.channel.setOption(.autoRead, value: false).get()
            let connection = try await server.nextConnection()
            for _ in 0..<4 { connection.enqueue(ByteBuffer(repeating: 0, count: 4_000_000)) }
            connection.close(.goingAway)
            await connection.waitUntilClosed()
            #expect([.closeTimeout, .writeStall].contains(connection.dropReason))
            await client.close()
        }
    }

    @Test("text reaches the other side as text")
    func text() async throws {
        try await pair { server, client in
            client.enqueueText(ByteBuffer(string: "héllo"))
            #expect(await server.receive() == .text)
            client.enqueueText(ByteBuffer(bytes: [0xFF]))
            #expect(await server.receive() == .ended(.failed))
            #expect(await client.receive() == .ended(.peerClosed))
        }
    }

    @Test("an upgrade that is refused reports its status")
    func refused() async throws {
        try await TestServer.run { server in
            _ = await #expect(throws: WebSocketClientError.refused(status: 404)) {
                _ = try await WebSocketClient.connect(to: "ws://127.0.0.1:\(server.port)/other", .init())
            }
        }
    }

    @Test("a server that selects nothing of the offer is not accepted")
    func noSubprotocol() async throws {
        try await TestServer.run {
            $0.decide = { _ in .upgrade(subprotocol: "other", ticket: "") }
        } _: { server in
            let error = WebSocketClientError.invalidResponse("no subprotocol that was offered")
            for protocols in [["less-rpc-v1"], []] {
                await #expect(throws: error) {
                    _ = try await WebSocketClient.connect(to: server.url, .init(subprotocols: protocols))
                }
            }
        }
    }

    static let answers: [(answer: String, error: WebSocketClientError)] = [
        ("HTTP/1.1 101 X\r\nConnection: upgrade\r\n\r\n", .invalidResponse("no upgrade to websocket")),
        (
            "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: no\r\n\r\n",
            .invalidResponse("wrong Sec-WebSocket-Accept")
        ),
        ("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n", .refused(status: 503)),
    ]

    @Test("answers that are no upgrade", arguments: answers)
    func badAnswers(answer: String, error: WebSocketClientError) async throws {
        let server = try await fakeServer { $0.writeAndFlush(ByteBuffer(string: answer), promise: nil) }
        await #expect(throws: error) {
            _ = try await WebSocketClient.connect(to: "ws://127.0.0.1:\(server.localAddress?.port ?? 0)/", .init())
        }
        try await server.close()
    }

    @Test("a server that closes, and one that says nothing")
    func noAnswer() async throws {
        let closing = try await fakeServer { $0.close(promise: nil) }
        await #expect {
            _ = try await WebSocketClient.connect(to: "ws://127.0.0.1:\(closing.localAddress?.port ?? 0)/", .init())
        } throws: { error in
            guard case .unreachable? = error as? WebSocketClientError else { return false }
            return true
        }
        let silent = try await fakeServer { _ in }
        var options = WebSocketClient.Options()
        options.timeout = .milliseconds(100)
        await #expect(throws: WebSocketClientError.timedOut) {
            _ = try await WebSocketClient.connect(to: "ws://127.0.0.1:\(silent.localAddress?.port ?? 0)/", options)
        }
        try await closing.close()
        try await silent.close()
        await #expect {
            _ = try await WebSocketClient.connect(to: "ws://127.0.0.1:1/", .init())
        } throws: { error in
            guard case .unreachable? = error as? WebSocketClientError else { return false }
            return true
        }
    }

    private func fakeServer(_ onAccept: @escaping @Sendable (any Channel) -> Void) async throws -> any Channel {
        try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.execute { onAccept(channel) }
                return channel.eventLoop.makeSucceededVoidFuture()
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    @Test("URLs")
    func urls() throws {
        typealias Target = WebSocketClient.Target
        let plain = try #require(Target("ws://example.com"))
        #expect((plain.port, plain.requestTarget, plain.authority) == (80, "/", "example.com"))
        let secure = try #require(Target("https://example.com:8443/a%20b/ws?x=1"))
        #expect(secure.isSecure && secure.port == 8_443)
        #expect((secure.requestTarget, secure.authority) == ("/a%20b/ws?x=1", "example.com:8443"))
        let address = try #require(Target("wss://[::1]/ws"))
        #expect((address.host, address.port, address.authority) == ("::1", 443, "[::1]"))
        #expect(address.isAddress && !plain.isAddress)
        for text in ["", "example.com", "ftp://example.com", "ws:///path"] { #expect(Target(text) == nil) }
    }
}
