package import NIOCore
package import NIOHTTP1

/// What is to happen with a request.
package enum HTTPFrontDecision<Ticket: Sendable>: Sendable {
    /// The application answers.
    case pass
    /// Becomes a WebSocket with this subprotocol; `ticket` goes to whoever serves it.
    case upgrade(subprotocol: String?, ticket: Ticket)
    /// Is answered here, without the application.
    case respond(HTTPFrontResponse)
}

package struct HTTPFrontResponse: Sendable, Equatable {
    package var status: HTTPResponseStatus
    package var headers: HTTPHeaders
    /// Plain text unless `headers` say otherwise; empty for none.
    package var body: String

    package init(_ status: HTTPResponseStatus, headers: HTTPHeaders = [:], body: String = "") {
        self.status = status
        self.headers = headers
        self.body = body
    }
}

/// Rules of the front of an HTTP connection (docs/contract/http.md §2, §10).
package struct HTTPFrontPolicy<Ticket: Sendable>: Sendable {
    /// Called once for every request head, on the event loop.
    package var decide: @Sendable (HTTPRequestHead) -> HTTPFrontDecision<Ticket>
    /// `true` ends each connection after the response in progress.
    package var isShuttingDown: @Sendable () -> Bool = { false }
    /// Added to every response that does not set them itself, 101 and those to unreadable requests among them.
    package var commonHeaders: HTTPHeaders = [:]
    /// To a request whose Content-Length is not a number, or not one.
    package var invalidContentLength = HTTPFrontResponse(.badRequest)
    /// To a request for this path whose method the parser does not know.
    package var unknownMethod: @Sendable (Substring) -> HTTPFrontResponse = { _ in HTTPFrontResponse(.badRequest) }
    package var timeouts = HTTPTimeouts()
    package var webSocket = WebSocketConfiguration.server
    /// Bytes of one request target; more is 414.
    package var targetBytesMax = 8_192
    /// Bytes of one header field and of all of them; more is 431.
    package var headerFieldBytesMax = 98_304
    package var headerBytesMax = 131_072
    /// Header fields; more is 431.
    package var headerFieldsMax = 4_096
    /// Bytes of a request body; what exceeds them is dropped, and the connection closes after the response.
    package var bodyBytesMax = 65_536
    /// Shared by all WebSockets of a server.
    let wakeUps = WakeUpTable()
    let drain = DrainGate()
    /// Whether the application reads and bounds the body of this request itself, whatever its size. A body that ends before
    /// its declared length then ends early for the application too, which can still answer.
    package var isBodyStreamed: @Sendable (HTTPRequestHead) -> Bool = { _ in false }

    package init(decide: @escaping @Sendable (HTTPRequestHead) -> HTTPFrontDecision<Ticket>) {
        self.decide = decide
    }
}

/// Triggered on the channel by an application that is about to read the body of its request: the client that waits for
/// `100 Continue` gets it (RFC 9110 §10.1.1). Without it such a client gets the final response alone, and the connection
/// ends, since nobody can tell whether a body follows.
package struct HTTPContinueEvent: Sendable {
    package init() {}
}

/// Triggered on the channel by an application that has written the head of its response: bytes of the body, of a file too. The
/// promise completes when the socket has taken them.
package struct HTTPBodyEvent: Sendable {
    let bytes: IOData

    package init(_ bytes: IOData) { self.bytes = bytes }
}

/// What a connection turns out to be. All members are called on the event loop.
package struct HTTPFrontEvents<Ticket: Sendable> {
    /// The first request for the application has come: add the handlers that speak for it.
    package var installApplication: (any Channel) throws -> Void
    /// The connection is a WebSocket now.
    package var upgraded: (WebSocketConnection, Ticket) -> Void
    /// The connection ended before it was either.
    package var ended: () -> Void

    package init(
        installApplication: @escaping (any Channel) throws -> Void,
        upgraded: @escaping (WebSocketConnection, Ticket) -> Void,
        ended: @escaping () -> Void
    ) {
        self.installApplication = installApplication
        self.upgraded = upgraded
        self.ended = ended
    }
}

package enum HTTPFront {
    /// Puts the front into the pipeline of an accepted connection. Call on its event loop.
    package static func install<Ticket>(
        on channel: any Channel, policy: HTTPFrontPolicy<Ticket>, events: HTTPFrontEvents<Ticket>
    ) throws {
        let ingress = HTTPIngressHandler(
            timeouts: policy.timeouts, targetBytesMax: policy.targetBytesMax, drain: policy.drain,
            now: channel.eventLoop.now)
        let encoder = HTTPResponseEncoder()
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = policy.headerFieldBytesMax
        limits.maxHeaderListSize = policy.headerBytesMax
        limits.maxHeaderFieldCount = policy.headerFieldsMax
        let decoder = ByteToMessageHandler(
            HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: limits))
        let pipelining = HTTPServerPipelineHandler()
        let front = HTTPFrontHandler(
            policy: policy, events: events, ingress: ingress, encoder: encoder, decoder: decoder,
            pipelining: pipelining)
        try ReceiveBufferSizes.apply(to: channel)
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandler(ingress)
        try pipeline.addHandler(encoder)
        try pipeline.addHandler(decoder)
        try pipeline.addHandler(pipelining)
        try pipeline.addHandler(front)
    }
}
