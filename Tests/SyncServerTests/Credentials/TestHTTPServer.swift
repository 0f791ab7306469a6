import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// A real HTTP server on a free port of 127.0.0.1, answering each path as the test says.
final class TestHTTPServer: Sendable {
    struct Answer: Sendable {
        var status = HTTPResponseStatus.ok
        var headers: HTTPHeaders = [:]
        var body: [UInt8] = []
        /// Sends no `Content-Length`.
        var isChunked = false
        /// Sends the head and the body, but never the end.
        var isEndless = false
        /// Sends nothing at all.
        var isSilent = false
    }

    private let answers: [String: Answer]
    private let requests = Mutex<[String]>([])

    private init(_ answers: [String: Answer]) { self.answers = answers }

    /// Paths asked for, in order.
    var paths: [String] { self.requests.withLock { $0 } }

    /// Runs a server for `body`, which is given its base URL.
    static func run(_ answers: [String: Answer], _ body: (String, TestHTTPServer) async throws -> Void) async throws {
        let server = TestHTTPServer(answers)
        let channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(Handler(server: server))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let port = channel.localAddress?.port ?? 0
        do {
            try await body("http://127.0.0.1:\(port)", server)
        } catch {
            try await channel.close()
            throw error
        }
        try await channel.close()
    }

    fileprivate func answer(to path: String) -> Answer {
        self.requests.withLock { $0.append(path) }
        return self.answers[path] ?? Answer(status: .notFound)
    }
}

private final class Handler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let server: TestHTTPServer

    init(server: TestHTTPServer) { self.server = server }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .head(let request) = self.unwrapInboundIn(data) else { return }
        let answer = self.server.answer(to: request.uri)
        guard !answer.isSilent else { return }
        var head = HTTPResponseHead(version: .http1_1, status: answer.status, headers: answer.headers)
        let hasLength = !answer.isChunked && !answer.isEndless
        head.headers.add(
            name: hasLength ? "Content-Length" : "Transfer-Encoding",
            value: hasLength ? "\(answer.body.count)" : "chunked")
        context.write(self.wrapOutboundOut(.head(head)), promise: nil)
        context.write(self.wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: answer.body)))), promise: nil)
        if !answer.isEndless { context.write(self.wrapOutboundOut(.end(nil)), promise: nil) }
        context.flush()
    }
}
