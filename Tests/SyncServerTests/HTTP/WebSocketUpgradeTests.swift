import Logging
import NIOCore
import ServiceLifecycle
import SyncProtocol
import SyncTesting
import SyncTransport
import Synchronization
import Testing

@testable import SyncServer

@Suite("WebSocket upgrades of the application", .timeLimit(.minutes(5)))
struct WebSocketUpgradeTests {
    private func connect(_ server: HTTPTestServer.Running) async throws -> WebSocketConnection {
        try await WebSocketClient.connect(to: server.url, .init(subprotocols: ["less-rpc-v1"]))
    }

    static let offers: [(offered: String?, selected: String?)] = [
        ("wrong-protocol", nil), (nil, nil), ("less-rpc-v1", "less-rpc-v1"),
        ("betterbase-rpc-v1", "betterbase-rpc-v1"), ("foo, betterbase-rpc-v1", "betterbase-rpc-v1"),
        ("less-rpc-v1, betterbase-rpc-v1", "less-rpc-v1"), ("betterbase-rpc-v1, less-rpc-v1", "betterbase-rpc-v1"),
    ]

    @Test("W-01…W-06, HW1, HW6: 101 echoes the selected subprotocol, anything else is 400 and empty", arguments: offers)
    func subprotocols(offered: String?, selected: String?) async throws {
        try await HTTPTestServer().run { server in
            let response = try await server.upgrade(offered)
            #expect(response.status == (selected == nil ? 400 : 101))
            #expect(response.headers["sec-websocket-protocol"] == selected)
            #expect(response.headers["sec-websocket-extensions"] == nil)
            #expect(response.body.isEmpty)
            #expect(response.headers["x-protocol-version"] == "1")
            if selected != nil { #expect(response.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") }
        }
    }

    @Test("W-07: one family only")
    func oneFamily() async throws {
        var server = HTTPTestServer()
        server.configuration.families = [.less]
        try await server.run { server in
            let refused = try await server.upgrade("betterbase-rpc-v1")
            #expect(refused.status == 400)
            #expect(try await server.upgrade("less-rpc-v1").status == 101)
        }
    }

    @Test("W-08, W-09, HW1, HW3: the federation path is 400 without subprotocol, else 404 while federation is off")
    func federation() async throws {
        try await HTTPTestServer().run { server in
            let path = "/api/v1/federation/ws"
            #expect(try await server.upgrade(nil, path: path).status == 400)
            #expect(try await server.upgrade("wrong-protocol", path: path).status == 400)
            let response = try await server.upgrade(path: path)
            #expect(response.status == 404)
            #expect(response.body.isEmpty)
        }
    }

    @Test("HW2: no validator is 501, after the subprotocol")
    func noValidator() async throws {
        try await HTTPTestServer(tokens: nil).run { server in
            let refused = try await server.upgrade()
            #expect(refused.status == 501)
            #expect(try await server.upgrade(nil).status == 400)
        }
    }

    @Test("HW4: a plain GET is 400 in plain text, HTTP/1.0 is 426")
    func plainGet() async throws {
        try await HTTPTestServer().run { server in
            let plain = try await server.request("GET", "/api/v1/ws")
            #expect(plain.status == 400)
            #expect(plain.headers["content-type"]?.hasPrefix("text/plain") == true)
            #expect(!plain.body.isEmpty)
            let old = HTTPTestServer.Running.upgrade().replacing("HTTP/1.1", with: "HTTP/1.0")
            #expect(try await server.exchange(old).status == 426)
            #expect(try await server.request("GET", "http://x/api/v1/ws").status == 400)
        }
    }

    @Test("a token in the query has no effect on the upgrade")
    func query() async throws {
        try await HTTPTestServer().run { server in
            let accepted = try await server.upgrade(path: "/api/v1/ws?token=bad")
            #expect(accepted.status == 101)
        }
    }

    @Test("messages reach the served connection with its family")
    func serves() async throws {
        let families = Mutex<[ProtocolFamily]>([])
        var server = HTTPTestServer()
        server.serve = { connection, family, _ in
            families.withLock { $0.append(family) }
            connection.enqueue(ByteBuffer(string: "hello"))
            connection.close(.goingAway)
        }
        try await server.run { server in
            let client = try await WebSocketClient.connect(to: server.url, .init(subprotocols: ["betterbase-rpc-v1"]))
            #expect(await client.receive() == .binary(ByteBuffer(string: "hello")))
            #expect(await client.receive() == .ended(.peerClosed))
            client.closeEcho()
            await client.waitUntilClosed()
            #expect(families.withLock { $0 } == [.betterbase])
        }
    }

    @Test("W-46, W-45: 4,194,304 bytes are echoed, one more ends with 1009")
    func messageLimit() async throws {
        try await HTTPTestServer().run { server in
            let client = try await connect(server)
            let largest = ByteBuffer(repeating: 3, count: Limits.messageBytesMax)
            client.enqueue(largest)
            #expect(await client.receive() == .binary(largest))
            client.enqueue(ByteBuffer(repeating: 3, count: Limits.messageBytesMax + 1))
            #expect(await client.receive() == .ended(.peerClosed))
            client.closeEcho()
            await client.waitUntilClosed()
        }
    }

    @Test("an unmasked frame ends with 1002")
    func unmasked() async throws {
        try await HTTPTestServer().run { server in
            let socket = try await RawSocket.connect(port: server.port)
            try await socket.send(HTTPTestServer.Running.upgrade())
            #expect(await socket.response().status == 101)
            try await socket.send([0x82, 0x01, 0x00])
            let bytes = await socket.wait()
            #expect(bytes.readableBytesView.prefix(4).elementsEqual([0x88, 16, 0x03, 0xEA]))
            await socket.close()
        }
    }

    @Test("MAX_CONNECTIONS and MAX_UNAUTHENTICATED_CONNECTIONS are answered 503 at the upgrade")
    func admission() async throws {
        var server = HTTPTestServer()
        server.configuration.connectionsMax = 2
        server.configuration.unauthenticatedConnectionsMax = 1
        try await server.run { server in
            let first = try await connect(server)
            #expect(try await server.upgrade().status == 503)
            first.enqueue(ByteBuffer(string: "auth"))
            #expect(await first.receive() == .binary(ByteBuffer(string: "auth")))
            let second = try await connect(server)
            second.enqueue(ByteBuffer(string: "auth"))
            #expect(await second.receive() == .binary(ByteBuffer(string: "auth")))
            #expect(server.application.admission.counts == .init(connections: 2, unauthenticated: 0))
            #expect(try await server.upgrade().status == 503)
            #expect(try await server.request("GET", "/health").status == 200)
            first.close(CloseFrame(code: 1000, reason: ""))
            await first.waitUntilClosed()
            try await eventually("one connection") { server.application.admission.counts.connections == 1 }
            let third = try await connect(server)
            third.closeEcho()
            second.closeEcho()
        }
    }

    @Test("a kept-alive connection can still become a WebSocket, as behind a proxy")
    func lateUpgrade() async throws {
        try await HTTPTestServer().run { server in
            let socket = try await RawSocket.connect(port: server.port)
            try await socket.send("GET /health HTTP/1.1\r\n\r\n")
            #expect(await socket.response().status == 200)
            try await socket.send(HTTPTestServer.Running.upgrade())
            #expect(await socket.response().status == 101)
            try await socket.send([0x82, 0x82, 0, 0, 0, 0, 7, 8])
            let echo = await socket.wait { $0.readableBytes >= 4 }
            #expect(Array(echo.readableBytesView) == [0x82, 2, 7, 8])
            try await socket.send([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8])
            let close = await socket.wait()
            #expect(Array(close.readableBytesView.suffix(4)) == [0x88, 2, 0x03, 0xE8])
            await socket.close()
            try await eventually("no connection") { server.application.admission.counts.connections == 0 }
        }
    }

    @Test("§15, OG1: a graceful shutdown lets requests finish and returns when the last WebSocket is gone")
    func gracefulShutdown() async throws {
        let sockets = Mutex<[any FrameConnection]>([])
        let (arrived, continuation) = AsyncStream.makeStream(of: Int.self)
        let application = HTTPApplication(
            configuration: HTTPServerConfiguration(address: ListenAddress(host: "127.0.0.1", port: 0)),
            tokens: StubTokens(), logger: .init(label: "test") { _ in SwiftLogNoOpLogHandler() }, ping: {},
            onListening: { continuation.yield($0.port) },
            serve: { connection, _, _ in
                sockets.withLock { $0.append(connection) }
                continuation.yield(0)
                _ = await connection.receive()
            })
        let group = ServiceGroup(
            configuration: .init(
                services: [application], logger: .init(label: "test") { _ in SwiftLogNoOpLogHandler() }))
        async let running: Void = group.run()
        var events = arrived.makeAsyncIterator()
        let port = try #require(await events.next())
        let client = try await WebSocketClient.connect(
            to: "ws://127.0.0.1:\(port)/api/v1/ws", .init(subprotocols: ["less-rpc-v1"]))
        let idle = try await Self.idleSocket(port)
        let other = try await Self.idleSocket(port)
        let silent = try await Self.idleSocket(port)
        _ = await events.next()
        await group.triggerGracefulShutdown()
        try await eventually("nobody listens any more") {
            (try? await RawSocket.connect(port: port).close()) == nil
        }
        // Whoever is connected is told, as long as there is work to wait for.
        try await idle.send("GET /health HTTP/1.1\r\n\r\n")
        let answer = await idle.response()
        #expect(answer.status == 503)
        #expect(answer.headers["connection"] == "close")
        await idle.wait()
        try await other.send(HTTPTestServer.Running.upgrade())
        #expect(await other.response().status == 503)
        await #expect(throws: WebSocketClientError.self) {
            while true {
                let late = try await WebSocketClient.connect(to: "ws://127.0.0.1:\(port)/api/v1/ws", .init())
                late.closeEcho()
            }
        }
        sockets.withLock { $0 }.forEach { $0.close(.goingAway) }
        #expect(await client.receive() == .ended(.peerClosed))
        client.closeEcho()
        #expect(await silent.wait().readableBytes == 0)
        try await running
    }

    /// A connection that has carried a request and is kept.
    private static func idleSocket(_ port: Int) async throws -> RawSocket {
        let socket = try await RawSocket.connect(port: port)
        try await socket.send("GET /health HTTP/1.1\r\n\r\n")
        #expect(await socket.response().status == 200)
        return socket
    }

    @Test("R4: slow and silent connections end after the head time")
    func slowHeads() async throws {
        var server = HTTPTestServer()
        server.configuration.timeouts.head = .milliseconds(100)
        try await server.run { server in
            for start in ["", "GET /health HTTP/1.1\r\nHost"] {
                let socket = try await RawSocket.connect(port: server.port)
                if !start.isEmpty { try await socket.send(start) }
                #expect(await socket.wait().readableBytes == 0)
            }
        }
    }
}
