import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

@testable import SyncServer

/// Stands between the store and a real S3 server, and does to some requests what networks and busy services do.
final class FaultProxy: Sendable {
    enum Fault: Sendable {
        /// Answers itself; the server never sees the request.
        case answer(HTTPResponseStatus, body: String = "", headers: HTTPHeaders = [:])
        /// Closes the connection; the server never sees the request.
        case drop
        /// Passes the request on, and closes the connection instead of passing the answer back.
        case loseAnswer
        /// Passes the answer back, but for the second half of its body.
        case cutBody
    }

    struct Seen: Sendable {
        let method: HTTPMethod
        let uri: String
        let headers: HTTPHeaders
        /// Earlier requests of this method.
        let earlier: Int
    }

    private let target: String
    private let decide: @Sendable (Seen) -> Fault?
    private let seen = Mutex<[Seen]>([])

    private init(_ target: String, _ decide: @escaping @Sendable (Seen) -> Fault?) {
        self.target = target
        self.decide = decide
    }

    var requests: [Seen] { self.seen.withLock { $0 } }

    /// Runs a proxy to `bucket` for `body`, which gets the bucket by way of the proxy.
    static func run(
        to bucket: TestBucket, _ decide: @escaping @Sendable (Seen) -> Fault?,
        _ body: (TestBucket, FaultProxy) async throws -> Void
    ) async throws {
        let proxy = FaultProxy(bucket.variables.endpointURL, decide)
        let channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(
                        NIOHTTPServerRequestAggregator(maxContentLength: 16 * 1_024 * 1_024))
                    try channel.pipeline.syncOperations.addHandler(Handler(proxy: proxy))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        var proxied = bucket
        proxied.variables.endpoint = "http://127.0.0.1:\(channel.localAddress?.port ?? 0)"
        do {
            try await body(proxied, proxy)
        } catch {
            try await channel.close()
            throw error
        }
        try await channel.close()
    }

    fileprivate func fault(for head: HTTPRequestHead) -> Fault? {
        let seen = self.seen.withLock { all in
            let seen = Seen(
                method: head.method, uri: head.uri, headers: head.headers,
                earlier: all.count { $0.method == head.method })
            all.append(seen)
            return seen
        }
        return self.decide(seen)
    }

    /// The Host header stays as it was signed.
    fileprivate func forward(
        _ head: HTTPRequestHead, _ body: ByteBuffer
    ) async throws -> (HTTPResponseHead, ByteBuffer) {
        var request = HTTPClientRequest(url: self.target + head.uri)
        request.method = head.method
        request.headers = head.headers
        if head.method != .GET, head.method != .HEAD { request.body = .bytes(body) }
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(30))
        let bytes = try await response.body.collect(upTo: 32 * 1_024 * 1_024)
        return (HTTPResponseHead(version: .http1_1, status: response.status, headers: response.headers), bytes)
    }
}

private final class Handler: ChannelInboundHandler {
    typealias InboundIn = NIOHTTPServerRequestFull
    typealias OutboundOut = HTTPServerResponsePart

    private let proxy: FaultProxy

    init(proxy: FaultProxy) { self.proxy = proxy }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let request = self.unwrapInboundIn(data)
        let fault = self.proxy.fault(for: request.head)
        // Bytes behind the head of such an answer would be taken for the next one.
        let isHead = request.head.method == .HEAD
        switch fault {
        case .answer(let status, let body, var headers):
            headers.replaceOrAdd(name: "content-length", value: "\(body.utf8.count)")
            self.answer(
                context, HTTPResponseHead(version: .http1_1, status: status, headers: headers),
                ByteBuffer(string: isHead ? "" : body)
            )
        case .drop:
            context.close(promise: nil)
        default:
            let proxy = self.proxy
            let loopBound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
            context.eventLoop.makeFutureWithTask {
                try await proxy.forward(request.head, request.body ?? ByteBuffer())
            }.whenComplete { result in
                let (handler, context) = loopBound.value
                switch (result, fault) {
                case (.failure, _), (_, .loseAnswer): context.close(promise: nil)
                case (.success(let (head, body)), .cutBody):
                    let half = body.getSlice(at: body.readerIndex, length: body.readableBytes / 2) ?? ByteBuffer()
                    handler.answer(context, head, half, closing: true)
                case (.success(let (head, body)), _): handler.answer(context, head, body)
                }
            }
        }
    }

    private func answer(
        _ context: ChannelHandlerContext, _ head: HTTPResponseHead, _ body: ByteBuffer, closing: Bool = false
    ) {
        context.write(self.wrapOutboundOut(.head(head)), promise: nil)
        if body.readableBytes > 0 {
            context.write(self.wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
        }
        guard closing else {
            context.writeAndFlush(self.wrapOutboundOut(.end(nil)), promise: nil)
            return
        }
        context.flush()
        context.close(promise: nil)
    }
}
