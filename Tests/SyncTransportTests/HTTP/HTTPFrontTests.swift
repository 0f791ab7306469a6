import NIOCore
import NIOHTTP1
import NIOPosix
import SyncProtocol
import Synchronization
import Testing

@testable import SyncTransport

/// Answers every request with the number of body bytes it saw.
private final class CountingApplication: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart
    private var count = 0

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch self.unwrapInboundIn(data) {
        case .head: self.count = 0
        case .body(let bytes): self.count += bytes.readableBytes
        case .end:
            let body = ByteBuffer(string: "saw \(self.count)")
            let headers: HTTPHeaders = ["Content-Length": String(body.readableBytes)]
            context.write(
                self.wrapOutboundOut(.head(.init(version: .http1_1, status: .ok, headers: headers))), promise: nil)
            context.write(self.wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
            context.writeAndFlush(self.wrapOutboundOut(.end(nil)), promise: nil)
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed = event { context.close(mode: .output, promise: nil) }
    }
}

@Suite("HTTP front", .timeLimit(.minutes(5)))
struct HTTPFrontTests {
    @Sendable private static func application(_ channel: any Channel) throws {
        try channel.pipeline.syncOperations.addHandler(CountingApplication())
    }

    private func exchange(
        _ request: String, _ configure: (inout TestServer.Policy) -> Void = { _ in },
        until condition: @escaping @Sendable (String) -> Bool = { _ in false }
    ) async throws -> String {
        try await TestServer.run(configure, application: Self.application) { server in
            let client = try await RawClient.connect(port: server.port)
            try await client.send(request)
            let response = await client.text(until: condition)
            await client.close()
            return response
        }
    }

    @Test("common headers are on every response, also on those to unreadable requests")
    func commonHeaders() async throws {
        for request in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "NONSENSE\r\n\r\n", RawClient.upgrade()] {
            let response = try await exchange(request, { $0.commonHeaders = ["X-Common": "yes"] }) {
                $0.contains("\r\n\r\n")
            }
            #expect(response.contains("X-Common: yes\r\n"))
        }
    }

    /// A request head of a size, named by it alone: the runner prints what it passes to a test.
    struct Head: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let status: String
        let request: String

        init(_ description: String, _ status: String, _ request: String) {
            (self.testDescription, self.status, self.request) = (description, status, request)
        }
    }

    static let heads = [
        Head("no request line", "400", "NONSENSE\r\n\r\n"),
        Head("another version", "505", "GET / HTTP/2.0\r\n\r\n"),
        Head("a target of 8,192 bytes", "404", "GET /\(String(repeating: "a", count: 8_191)) HTTP/1.1\r\n\r\n"),
        Head("a target of 8,193 bytes", "414", "GET /\(String(repeating: "a", count: 8_192)) HTTP/1.1\r\n\r\n"),
        Head("a target without an end", "414", "GET /\(String(repeating: "a", count: 300_000))"),
        Head("a long field", "404", "GET / HTTP/1.1\r\nX-UCAN: \(String(repeating: "a", count: 73_000))\r\n\r\n"),
        Head("too long a field", "431", "GET / HTTP/1.1\r\nX-UCAN: \(String(repeating: "a", count: 200_000))\r\n\r\n"),
        Head(
            "140 fields of 1,000 bytes", "431",
            "GET / HTTP/1.1\r\n" + String(repeating: "A: \(String(repeating: "b", count: 1_000))\r\n", count: 140)),
    ]

    @Test(
        "http §10: many header fields are taken as long as they are small", arguments: [(4_095, "404"), (5_000, "431")])
    func headerFields(count: Int, status: String) async throws {
        let request = "GET / HTTP/1.1\r\n" + String(repeating: "A: b\r\n", count: count) + "\r\n"
        let response = try await exchange(request, until: { $0.contains("\r\n\r\n") })
        #expect(response.hasPrefix("HTTP/1.1 \(status) "))
    }

    @Test("limits of the request head", arguments: heads)
    func headLimits(head: Head) async throws {
        let response = try await exchange(head.request, until: { $0.contains("\r\n\r\n") })
        #expect(response.hasPrefix("HTTP/1.1 \(head.status) "))
        if head.status != "404" { #expect(response.contains("Connection: close\r\n")) }
    }

    @Test("a connection serves many requests, pipelined ones in order")
    func keepAlive() async throws {
        let post = "POST /app HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
        let get = "GET /app HTTP/1.1\r\nHost: x\r\n\r\n"
        let response = try await exchange(post + "GET /x HTTP/1.1\r\n\r\n" + get, until: { $0.hasSuffix("saw 0") })
        let bodies = response.split(separator: "\r\n").filter { $0.hasPrefix("saw") || $0.hasPrefix("nothing") }
        #expect(bodies.map { $0.prefix(5) } == ["saw 3", "nothi", "saw 0"])
        #expect(!response.contains("close"))
    }

    @Test("HTTP/1.0 and Connection: close end the connection after the response")
    func close() async throws {
        for request in ["GET /app HTTP/1.0\r\n\r\n", "GET /app HTTP/1.1\r\nConnection: close\r\n\r\n"] {
            #expect(try await exchange(request).hasSuffix("saw 0"))
        }
    }

    @Test("a request for another upgrade is answered as if it had not asked, then the connection ends")
    func otherUpgrade() async throws {
        let request = "GET /app HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"
        let response = try await exchange(request)
        #expect(response.hasPrefix("HTTP/1.1 200 "))
        #expect(response.contains("Connection: close\r\n"))
    }

    @Test("a body over the limit is cut off; the connection ends after the response")
    func largeBody() async throws {
        let body = String(repeating: "x", count: 200_000)
        let response = try await exchange("POST /app HTTP/1.1\r\nContent-Length: 200000\r\n\r\n" + body)
        #expect(response.hasPrefix("HTTP/1.1 200 "))
        #expect(response.contains("Connection: close\r\n"))
        #expect(!response.hasSuffix("saw 200000"))
        let chunk = "POST /app HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n30D40\r\n\(body)\r\n0\r\n\r\n"
        #expect(try await exchange(chunk).contains("Connection: close\r\n"))
        let answered = try await exchange(
            "POST /none HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n30D40\r\n\(body)\r\n")
        #expect(answered.hasPrefix("HTTP/1.1 404 "))
    }

    @Test("shutting down ends a connection with its next response")
    func shuttingDown() async throws {
        let response = try await exchange("GET /app HTTP/1.1\r\n\r\n", { $0.isShuttingDown = { true } })
        #expect(response.contains("Connection: close\r\n"))
        #expect(response.hasSuffix("saw 0"))
    }

    @Test("R4: silent, slow and idle connections are ended", arguments: ["", "GET / HT", "GET /x HTTP/1.1\r\n\r\n"])
    func deadlines(request: String) async throws {
        let response = try await exchange(request) {
            // Long enough for a busy machine to answer the whole request before.
            $0.timeouts.head = .seconds(3)
            $0.timeouts.idle = .seconds(3)
        }
        #expect(request.hasSuffix("\r\n\r\n") == response.hasPrefix("HTTP/1.1 404"))
    }

    @Test("a body that stops arriving ends the connection")
    func stalledBody() async throws {
        let response = try await exchange("POST /app HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc") {
            $0.timeouts.progress = .milliseconds(100)
        }
        #expect(response.isEmpty)
    }

    @Test("a client that ends its direction before a request is let go")
    func earlyEnd() async throws {
        try await TestServer.run(application: Self.application) { server in
            let client = try await RawClient.connect(port: server.port)
            try await client.channel.close(mode: .output)
            #expect(await client.text().isEmpty)
            let asking = try await RawClient.connect(port: server.port)
            try await asking.send("GET /app HTTP/1.1\r\n\r\n")
            try await asking.channel.close(mode: .output)
            #expect(await asking.text().hasSuffix("saw 0"))
        }
    }

    @Test("frames sent together with the upgrade request are not lost")
    func eagerFrames() async throws {
        try await TestServer.run { server in
            let client = try await RawClient.connect(port: server.port)
            try await client.send(
                ByteBuffer(string: RawClient.upgrade()) + TestFrame.binary([1]) + TestFrame.binary([2]))
            let connection = try await server.nextConnection()
            #expect(await connection.receive() == .binary(ByteBuffer(bytes: [1])))
            #expect(await connection.receive() == .binary(ByteBuffer(bytes: [2])))
            #expect(connection.subprotocol == "less-rpc-v1")
            _ = await client.text { $0.hasSuffix("\r\n\r\n") }
            await client.close()
            #expect(await connection.receive() == .ended(.peerClosed))
            connection.closeEcho()
            await connection.waitUntilClosed()
        }
    }

    @Test("a connection that carried requests can still become a WebSocket")
    func lateUpgrade() async throws {
        try await TestServer.run(application: Self.application) { server in
            let client = try await RawClient.connect(port: server.port)
            try await client.send("GET /app HTTP/1.1\r\n\r\n")
            _ = await client.text { $0.hasSuffix("saw 0") }
            try await client.send(RawClient.upgrade())
            let connection = try await server.nextConnection()
            connection.enqueue(ByteBuffer(bytes: [7]))
            let expected = TestFrame.binary([7], mask: nil)
            let bytes = await client.wait { bytes in
                bytes.readableBytesView.suffix(3).elementsEqual(expected.readableBytesView)
            }
            #expect(String(buffer: bytes).contains("101 Switching Protocols"))
            try await client.send(TestFrame.binary([8]))
            #expect(await connection.receive() == .binary(ByteBuffer(bytes: [8])))
            connection.close(.goingAway)
            await client.close()
            await connection.waitUntilClosed()
        }
    }

    @Test("R4: a thousand connections with slow heads do not delay another client")
    func slowHeads() async throws {
        try await TestServer.run { server in
            var slow: [RawClient] = []
            for _ in 0..<1_000 {
                let client = try await RawClient.connect(port: server.port)
                try await client.send("GET / HTTP/1.1\r\nA: ")
                slow.append(client)
            }
            let started = ContinuousClock.now
            let client = try await WebSocketClient.connect(to: server.url, .init())
            #expect(ContinuousClock.now - started < .seconds(9))
            client.closeEcho()
            for client in slow { await client.close() }
        }
    }
}
