import NIOCore
import NIOHTTP1

/// Stands between the HTTP parser and the application: decides on every request head, turns any request of a connection
/// into a WebSocket (proxies reuse connections), answers what the application must not see, completes every response.
///
/// `HTTPServerPipelineHandler` below it lets in one request at a time.
final class HTTPFrontHandler<Ticket: Sendable>: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    private enum State {
        case idle
        /// The application gets the request.
        case passing
        /// The body exceeded its limit: the application believes it complete, the rest is dropped.
        case truncated
        /// Answered here; the rest of the request is dropped.
        case answered
        /// Becomes a WebSocket when the request is complete.
        case upgrading(HTTPRequestHead, subprotocol: String?, Ticket)
        /// The last response is written.
        case closing
        /// A WebSocket; the application's handlers behind are cut off.
        case detached
    }

    // Fixed after init.
    private let policy: HTTPFrontPolicy<Ticket>
    private let events: HTTPFrontEvents<Ticket>
    private let ingress: HTTPIngressHandler
    private let encoder: HTTPResponseEncoder
    private let decoder: ByteToMessageHandler<HTTPRequestDecoder>
    private let pipelining: HTTPServerPipelineHandler

    // Event loop only.
    private var state = State.idle
    private var isApplicationInstalled = false
    private var isUpgraded = false
    private var closesAfterResponse = false
    private var bodyBytes = 0
    /// Of the request in progress, as declared; `nil` for none or for chunks.
    private var declaredBodyBytes: Int?
    private var isBodyStreamed = false
    /// The client sends its body after `100 Continue` alone.
    private var awaitsContinue = false

    init(
        policy: HTTPFrontPolicy<Ticket>, events: HTTPFrontEvents<Ticket>, ingress: HTTPIngressHandler,
        encoder: HTTPResponseEncoder, decoder: ByteToMessageHandler<HTTPRequestDecoder>,
        pipelining: HTTPServerPipelineHandler
    ) {
        self.policy = policy
        self.events = events
        self.ingress = ingress
        self.encoder = encoder
        self.decoder = decoder
        self.pipelining = pipelining
    }

    // MARK: Inbound

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let part = self.unwrapInboundIn(data)
        switch part {
        case .head(let head): self.received(head, context)
        case .body(let bytes): self.received(bytes, data, context)
        case .end: self.receivedEnd(data, context)
        }
    }

    private func received(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        guard case .idle = self.state else { return }
        self.ingress.headCompleted()
        self.bodyBytes = 0
        self.declaredBodyBytes = head.headers.first(name: "content-length").map { Int($0) ?? .max }
        self.isBodyStreamed = self.policy.isBodyStreamed(head)
        self.awaitsContinue =
            head.version.major == 1 && head.version.minor >= 1
            && head.headers[canonicalForm: "expect"].contains { $0.lowercased() == "100-continue" }
        // The parser stops after a request that asks for an upgrade or a tunnel, whatever the answer.
        self.closesAfterResponse =
            !head.isKeepAlive || head.headers.contains(name: "upgrade") || head.method == .CONNECT
            || (!self.isBodyStreamed && self.declaredBodyBytes ?? 0 > self.policy.bodyBytesMax)
        guard head.uri.utf8.count <= self.policy.targetBytesMax else {
            self.closesAfterResponse = true
            return self.answer(HTTPFrontResponse(.uriTooLong), context)
        }
        if let status = Self.refusal(ofTransferCodings: head.headers) {
            // The parser stops here as well.
            self.closesAfterResponse = true
            self.ingress.requestCompleted()
            return self.answer(HTTPFrontResponse(status), context)
        }
        switch self.policy.decide(head) {
        case .respond(let response):
            self.answer(response, context)
        case .upgrade(let subprotocol, let ticket):
            self.state = .upgrading(head, subprotocol: subprotocol, ticket)
        case .pass:
            self.pass(head, context)
        }
    }

    /// Without chunks nobody knows where the body ends, and other codings we cannot undo (RFC 9112 §6.1, §6.3).
    private static func refusal(ofTransferCodings headers: HTTPHeaders) -> HTTPResponseStatus? {
        guard headers.contains(name: "transfer-encoding") else { return nil }
        let codings = headers[canonicalForm: "transfer-encoding"].map { $0.lowercased() }
        guard codings.last == "chunked" else { return .badRequest }
        return codings.count == 1 ? nil : .notImplemented
    }

    private func pass(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        if !self.isApplicationInstalled {
            do {
                try self.events.installApplication(context.channel)
                self.isApplicationInstalled = true
            } catch {
                context.close(promise: nil)
                return
            }
        }
        self.state = .passing
        context.fireChannelRead(self.wrapInboundOut(.head(head)))
    }

    private func received(_ bytes: ByteBuffer, _ data: NIOAny, _ context: ChannelHandlerContext) {
        self.bodyBytes += bytes.readableBytes
        self.awaitsContinue = false
        guard case .passing = self.state else {
            if self.bodyBytes > self.policy.bodyBytesMax { self.bodyExceeded() }
            return
        }
        context.fireChannelRead(data)
        if !self.isBodyStreamed, self.bodyBytes > self.policy.bodyBytesMax {
            self.state = .truncated
            self.bodyExceeded()
            context.fireChannelRead(self.wrapInboundOut(.end(nil)))
        }
    }

    /// The connection ends with the response; when that is written already, now.
    private func bodyExceeded() {
        self.closesAfterResponse = true
        if self.ingress.isResponseComplete { self.beginClosing() }
    }

    private func receivedEnd(_ data: NIOAny, _ context: ChannelHandlerContext) {
        switch self.state {
        case .passing:
            self.ingress.requestCompleted()
            context.fireChannelRead(data)
            self.requestOrResponseEnded()
        case .truncated, .answered:
            self.ingress.requestCompleted()
            self.requestOrResponseEnded()
        case .upgrading(let head, let subprotocol, let ticket):
            self.upgrade(head, subprotocol, ticket, context)
        case .idle, .closing, .detached:
            break
        }
    }

    private func requestOrResponseEnded() {
        guard self.ingress.isIdle else { return }
        switch self.state {
        case .passing, .truncated, .answered: self.state = .idle
        case .idle, .upgrading, .closing, .detached: break
        }
    }

    /// The client has ended its direction in the middle of the body.
    private func bodyEndedEarly(_ context: ChannelHandlerContext) {
        self.closesAfterResponse = true
        self.state = .truncated
        self.ingress.requestCompleted()
        context.fireChannelRead(self.wrapInboundOut(.end(nil)))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if case .passing = self.state, self.isBodyStreamed, error as? HTTPParserError == .invalidEOFState {
            return self.bodyEndedEarly(context)
        }
        if error is HTTPParserError, self.closesAfterResponse {
            // What follows a refused head is not read.
            switch self.state {
            case .answered, .closing: return
            case .idle, .passing, .truncated, .upgrading, .detached: break
            }
        }
        guard error is HTTPParserError, case .idle = self.state else {
            context.fireErrorCaught(error)
            context.close(promise: nil)
            return
        }
        let response =
            switch error as? HTTPParserError {
            case .headerOverflow:
                HTTPFrontResponse(self.ingress.isTargetTooLong ? .uriTooLong : .requestHeaderFieldsTooLarge)
            case .invalidVersion: HTTPFrontResponse(.httpVersionNotSupported)
            case .invalidContentLength, .unexpectedContentLength: self.policy.invalidContentLength
            case .invalidMethod:
                self.ingress.pathOfUnknownMethod.map(self.policy.unknownMethod) ?? HTTPFrontResponse(.badRequest)
            default: HTTPFrontResponse(.badRequest)
            }
        self.ingress.headCompleted()
        self.ingress.requestCompleted()
        self.closesAfterResponse = true
        self.answer(response, context)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed = event, !self.isApplicationInstalled, case .idle = self.state {
            context.close(promise: nil)
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        if !self.isApplicationInstalled, !self.isUpgraded { self.events.ended() }
        context.fireChannelInactive()
    }

    // MARK: Outbound

    func read(context: ChannelHandlerContext) {
        if case .detached = self.state { return }
        context.read()
    }

    func flush(context: ChannelHandlerContext) {
        if case .detached = self.state { return }
        context.flush()
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        switch (self.state, mode) {
        case (.detached, _):
            promise?.succeed()
        case (.closing, .output):
            promise?.succeed()
        case (_, .output):
            self.beginClosing()
            promise?.succeed()
        default:
            context.close(mode: mode, promise: promise)
        }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch self.state {
        case .detached, .closing:
            promise?.fail(ChannelError.outputClosed)
            return
        case .idle, .passing, .truncated, .answered, .upgrading:
            break
        }
        switch self.unwrapOutboundIn(data) {
        case .head(let head) where head.status.code < 200:
            context.write(data, promise: promise)
        case .head(var head):
            if self.policy.isShuttingDown() || self.leavesBody { self.closesAfterResponse = true }
            self.complete(&head)
            context.write(self.wrapOutboundOut(.head(head)), promise: promise)
        case .body:
            context.write(data, promise: promise)
        case .end:
            let written = promise ?? context.eventLoop.makePromise(of: Void.self)
            self.closeOrGoOn(after: written)
            context.write(data, promise: written)
        }
    }

    /// The response comes before a request body that is too large to be waited for, or may never come.
    private var leavesBody: Bool {
        guard !self.ingress.isRequestComplete else { return false }
        if self.awaitsContinue { return true }
        guard self.isBodyStreamed else { return false }
        guard let declared = self.declaredBodyBytes else { return true }
        return declared - self.bodyBytes > self.policy.bodyBytesMax
    }

    func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
        if let body = event as? HTTPBodyEvent {
            self.write(
                context: context, data: NIOAny(HTTPServerResponsePart.body(body.bytes)), promise: promise)
            return context.flush()
        }
        guard event is HTTPContinueEvent else {
            return context.triggerUserOutboundEvent(event, promise: promise)
        }
        guard case .passing = self.state, self.awaitsContinue else {
            promise?.succeed()
            return
        }
        self.awaitsContinue = false
        let head = HTTPResponseHead(version: .http1_1, status: .continue)
        context.writeAndFlush(self.wrapOutboundOut(.head(head)), promise: promise)
    }

    private func complete(_ head: inout HTTPResponseHead) {
        for (name, value) in self.policy.commonHeaders where !head.headers.contains(name: name) {
            head.headers.add(name: name, value: value)
        }
        if self.closesAfterResponse { head.headers.replaceOrAdd(name: "Connection", value: "close") }
    }

    private func closeOrGoOn(after written: EventLoopPromise<Void>) {
        guard self.closesAfterResponse else {
            self.ingress.responseCompleted()
            self.requestOrResponseEnded()
            return
        }
        written.futureResult.assumeIsolated().whenComplete { _ in self.beginClosing() }
    }

    private func answer(_ response: HTTPFrontResponse, _ context: ChannelHandlerContext) {
        self.state = .answered
        var head = HTTPResponseHead(version: .http1_1, status: response.status, headers: response.headers)
        if !response.body.isEmpty, !head.headers.contains(name: "Content-Type") {
            head.headers.add(name: "Content-Type", value: "text/plain; charset=utf-8")
        }
        head.headers.replaceOrAdd(name: "Content-Length", value: String(response.body.utf8.count))
        self.write(context: context, data: NIOAny(HTTPServerResponsePart.head(head)), promise: nil)
        if !response.body.isEmpty {
            let body = HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(string: response.body)))
            self.write(context: context, data: NIOAny(body), promise: nil)
        }
        self.write(context: context, data: NIOAny(HTTPServerResponsePart.end(nil)), promise: nil)
        context.flush()
    }

    private func beginClosing() {
        if case .detached = self.state { return }
        self.state = .closing
        self.ingress.linger()
    }

    // MARK: Upgrade

    private func upgrade(
        _ head: HTTPRequestHead, _ subprotocol: String?, _ ticket: Ticket, _ context: ChannelHandlerContext
    ) {
        WebSocketUpgrade.responseHeaders(to: head, subprotocol: subprotocol, on: context.channel)
            .assumeIsolated().whenComplete { result in
                do {
                    try self.finishUpgrade(result.get(), head, subprotocol, ticket, context)
                } catch {
                    context.close(promise: nil)
                }
            }
    }

    private func finishUpgrade(
        _ headers: HTTPHeaders, _ head: HTTPRequestHead, _ subprotocol: String?, _ ticket: Ticket,
        _ context: ChannelHandlerContext
    ) throws {
        var response = HTTPResponseHead(version: .http1_1, status: .switchingProtocols, headers: headers)
        for (name, value) in self.policy.commonHeaders { response.headers.replaceOrAdd(name: name, value: value) }
        context.writeAndFlush(self.wrapOutboundOut(.head(response)), promise: nil)

        let pipeline = context.pipeline.syncOperations
        let handler = WebSocketHandler(
            configuration: self.policy.webSocket, subprotocol: subprotocol ?? "",
            wakeUps: self.policy.wakeUps.wakeUps(of: context.eventLoop))
        self.state = .detached
        // First, though it leaves a tick later: it hands the bytes that came behind the request to the WebSocket's handler.
        pipeline.removeHandler(self.decoder, promise: nil)
        try pipeline.addHandler(handler, position: self.isApplicationInstalled ? .before(self) : .after(self))
        self.isUpgraded = true
        pipeline.removeHandler(self.pipelining, promise: nil)
        pipeline.removeHandler(self.encoder, promise: nil)
        pipeline.removeHandler(self.ingress, promise: nil)
        self.events.upgraded(handler.connection, ticket)
        if self.isApplicationInstalled {
            // The application's loop gets the request as a sign to look for the WebSocket, then the end of input.
            context.fireChannelRead(self.wrapInboundOut(.head(head)))
            context.fireChannelRead(self.wrapInboundOut(.end(nil)))
            context.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        } else {
            pipeline.removeHandler(context: context, promise: nil)
        }
    }
}

@available(*, unavailable)
extension HTTPFrontHandler: Sendable {}
