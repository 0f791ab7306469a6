import NIOCore
import NIOHTTP1
import NIOWebSocket

/// Sends the upgrade request, judges the answer (RFC 6455 §4.1), and makes room for the handler of the WebSocket.
final class ClientUpgradeHandler<Opened: Sendable>: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    /// The handler that takes over, and what its opener is given of it.
    typealias MakeHandler =
        @Sendable (_ subprotocol: String, _ eventLoop: any EventLoop) -> (handler: any ChannelHandler, opened: Opened)

    // Fixed after init.
    private let target: WebSocketClient.Target
    private let options: WebSocketClient.Options
    private let encoder: HTTPRequestEncoder
    private let decoder: ByteToMessageHandler<HTTPResponseDecoder>
    private let opened: EventLoopPromise<Opened>
    private let makeHandler: MakeHandler
    private let key = NIOWebSocketClientUpgrader.randomRequestKey()

    // Event loop only.
    private var response: HTTPResponseHead?
    private var isDecided = false
    private var timer: Scheduled<Void>?

    init(
        target: WebSocketClient.Target, options: WebSocketClient.Options, encoder: HTTPRequestEncoder,
        decoder: ByteToMessageHandler<HTTPResponseDecoder>, opened: EventLoopPromise<Opened>,
        makeHandler: @escaping MakeHandler
    ) {
        self.target = target
        self.options = options
        self.encoder = encoder
        self.decoder = decoder
        self.opened = opened
        self.makeHandler = makeHandler
    }

    func channelActive(context: ChannelHandlerContext) {
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(in: self.options.timeout) {
            self.fail(.timedOut, context)
        }
        var headers = HTTPHeaders()
        headers.add(name: "Host", value: self.target.authority)
        headers.add(name: "Connection", value: "Upgrade")
        headers.add(name: "Upgrade", value: "websocket")
        headers.add(name: "Sec-WebSocket-Version", value: "13")
        headers.add(name: "Sec-WebSocket-Key", value: self.key)
        if !self.options.subprotocols.isEmpty {
            headers.add(name: "Sec-WebSocket-Protocol", value: self.options.subprotocols.joined(separator: ", "))
        }
        for (name, value) in self.options.headers { headers.add(name: name, value: value) }
        let head = HTTPRequestHead(
            version: .http1_1, method: .GET, uri: self.target.requestTarget, headers: headers)
        context.write(self.wrapOutboundOut(.head(head)), promise: nil)
        context.writeAndFlush(self.wrapOutboundOut(.end(nil)), promise: nil)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch self.unwrapInboundIn(data) {
        case .head(let head) where head.status != .switchingProtocols:
            self.fail(.refused(status: head.status.code), context)
        case .head(let head):
            self.response = head
        case .body:
            break
        case .end:
            guard let response = self.response, !self.isDecided else { return }
            do throws(WebSocketClientError) {
                self.open(subprotocol: try self.acceptedSubprotocol(response), context)
            } catch {
                self.fail(error, context)
            }
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.fail(.unreachable(detail: "connection closed during the upgrade"), context)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.fail(.unreachable(detail: String(describing: error)), context)
    }

    private func acceptedSubprotocol(_ response: HTTPResponseHead) throws(WebSocketClientError) -> String {
        let headers = response.headers
        guard headers[canonicalForm: "upgrade"].map({ $0.lowercased() }) == ["websocket"],
            headers[canonicalForm: "connection"].contains(where: { $0.lowercased() == "upgrade" })
        else { throw .invalidResponse("no upgrade to websocket") }
        let upgrader = NIOWebSocketClientUpgrader(requestKey: self.key) { channel, _ in
            channel.eventLoop.makeSucceededVoidFuture()
        }
        guard upgrader.shouldAllowUpgrade(upgradeResponse: response) else {
            throw .invalidResponse("wrong Sec-WebSocket-Accept")
        }
        guard !headers.contains(name: "sec-websocket-extensions") else {
            throw .invalidResponse("extension that was not offered")
        }
        let selected = headers["sec-websocket-protocol"]
        if self.options.subprotocols.isEmpty, selected.isEmpty { return "" }
        guard selected.count == 1, let name = selected.first, self.options.subprotocols.contains(name) else {
            throw .invalidResponse("no subprotocol that was offered")
        }
        return name
    }

    private func open(subprotocol: String, _ context: ChannelHandlerContext) {
        self.isDecided = true
        self.timer?.cancel()
        let pipeline = context.pipeline.syncOperations
        let (handler, opened) = self.makeHandler(subprotocol, context.eventLoop)
        // First, though it leaves a tick later: then it is gone when the WebSocket's handler writes for the first time, and
        // hands the bytes that came behind the response to that handler.
        pipeline.removeHandler(self.decoder, promise: nil)
        do {
            try pipeline.addHandler(handler, position: .after(self))
        } catch {
            self.opened.fail(error)
            context.close(promise: nil)
            return
        }
        pipeline.removeHandler(self.encoder, promise: nil)
        pipeline.removeHandler(context: context, promise: nil)
        self.opened.succeed(opened)
    }

    private func fail(_ error: WebSocketClientError, _ context: ChannelHandlerContext) {
        guard !self.isDecided else { return }
        self.isDecided = true
        self.timer?.cancel()
        self.opened.fail(error)
        context.close(promise: nil)
    }
}

@available(*, unavailable)
extension ClientUpgradeHandler: Sendable {}
