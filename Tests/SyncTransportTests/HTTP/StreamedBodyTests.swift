import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import Testing

@testable import SyncTransport

/// Refuses what carries `X-Refuse` from its head; else asks for the body and answers with the number of its bytes.
private final class UploadApplication: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart
    private var count = 0
    private var hasAnswered = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch self.unwrapInboundIn(data) {
        case .head(let head):
            self.count = 0
            self.hasAnswered = head.headers.contains(name: "x-refuse")
            if self.hasAnswered {
                self.answer("no", .forbidden, context)
            } else {
                context.channel.triggerUserOutboundEvent(HTTPContinueEvent(), promise: nil)
            }
        case .body(let bytes): self.count += bytes.readableBytes
        case .end: if !self.hasAnswered { self.answer("saw \(self.count)", .ok, context) }
        }
    }

    private func answer(_ text: String, _ status: HTTPResponseStatus, _ context: ChannelHandlerContext) {
        let headers: HTTPHeaders = ["Content-Length": String(text.utf8.count), "X-Common": "mine"]
        let head = HTTPResponseHead(version: .http1_1, status: status, headers: headers)
        context.write(self.wrapOutboundOut(.head(head)), promise: nil)
        context.write(self.wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: text)))), promise: nil)
        context.writeAndFlush(self.wrapOutboundOut(.end(nil)), promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed = event { context.close(mode: .output, promise: nil) }
    }
}

@Suite("Streamed request bodies", .timeLimit(.minutes(5)))
struct StreamedBodyTests {
    private func run(_ body: (RawClient) async throws -> Void) async throws {
        try await TestServer.run {
            $0.isBodyStreamed = { $0.method == .PUT }
            $0.commonHeaders = ["X-Common": "front", "X-Front": "yes"]
        } application: { channel in
            try channel.pipeline.syncOperations.addHandler(UploadApplication())
        } _: { server in
            let client = try await RawClient.connect(port: server.port)
            try await body(client)
            await client.close()
        }
    }

    private static func put(_ headers: String...) -> String {
        (["PUT /app HTTP/1.1", "Host: x"] + headers).joined(separator: "\r\n") + "\r\n\r\n"
    }

    @Test("a streamed body may be larger than the limit of other bodies, and the connection goes on")
    func large() async throws {
        try await run { client in
            for _ in 1...2 {
                try await client.send(Self.put("Content-Length: 200000") + String(repeating: "x", count: 200_000))
            }
            let text = await client.text { $0.components(separatedBy: "saw 200000").count == 3 }
            #expect(!text.lowercased().contains("connection: close"))
        }
    }

    @Test("100 Continue comes when the application asks for the body, once, and never to HTTP/1.0")
    func expectContinue() async throws {
        try await run { client in
            try await client.send(Self.put("Content-Length: 3", "Expect: 100-continue"))
            let interim = await client.text { !$0.isEmpty }
            #expect(interim == "HTTP/1.1 100 Continue\r\n\r\n")
            try await client.send("abc")
            let text = await client.text { $0.hasSuffix("saw 3") }
            #expect(text.hasPrefix(interim + "HTTP/1.1 200 OK\r\n"))
            try await client.send(Self.put("Content-Length: 4"))
            try await client.send("abcd")
            let all = await client.text { $0.hasSuffix("saw 4") }
            #expect(all.components(separatedBy: "100 Continue").count == 2)
        }
        try await run { client in
            try await client.send("PUT /app HTTP/1.0\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc")
            let text = await client.text()
            #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n"))
        }
    }

    @Test("a refusal of a client that waits for 100 Continue ends the connection without a byte of the body")
    func refusedExpectation() async throws {
        try await run { client in
            try await client.send(Self.put("Content-Length: 3", "Expect: 100-continue", "X-Refuse: 1"))
            let text = await client.text()
            #expect(text.hasPrefix("HTTP/1.1 403 Forbidden\r\n"))
            #expect(text.contains("Connection: close\r\n"))
            #expect(text.hasSuffix("no"))
        }
    }

    @Test(
        "a refusal from the head is sent while the body arrives, and ends the connection when much is left",
        arguments: ["Content-Length: 100000000", "Transfer-Encoding: chunked"])
    func earlyRefusal(framing: String) async throws {
        try await run { client in
            try await client.send(Self.put(framing, "X-Refuse: 1"))
            let text = await client.text()
            #expect(text.hasPrefix("HTTP/1.1 403 Forbidden\r\n"))
            #expect(text.contains("Connection: close\r\n"))
        }
    }

    @Test("a refusal of a small body keeps the connection")
    func smallRefusal() async throws {
        try await run { client in
            try await client.send(Self.put("Content-Length: 3", "X-Refuse: 1"))
            let refusal = await client.text { $0.hasSuffix("no") }
            #expect(!refusal.lowercased().contains("connection: close"))
            try await client.send("abc" + Self.put("Content-Length: 2") + "de")
            #expect(await client.text { $0.hasSuffix("saw 2") }.contains("saw 2"))
        }
    }

    @Test("a body that ends early ends for the application too, which still answers")
    func shortBody() async throws {
        try await run { client in
            try await client.send(Self.put("Content-Length: 10") + "abcd")
            try await client.channel.close(mode: .output)
            let text = await client.text()
            #expect(text.hasSuffix("saw 4"))
            #expect(text.contains("Connection: close\r\n"))
        }
    }

    @Test("common headers that the application sets itself are left alone")
    func commonHeaders() async throws {
        try await run { client in
            try await client.send(Self.put("Content-Length: 0"))
            let text = await client.text { $0.hasSuffix("saw 0") }
            #expect(text.contains("X-Common: mine\r\n"))
            #expect(!text.contains("X-Common: front"))
            #expect(text.contains("X-Front: yes\r\n"))
        }
    }
}
