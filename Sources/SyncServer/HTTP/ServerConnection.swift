import HummingbirdCore
import Logging
import NIOCore
import NIOHTTPTypesHTTP1
import SyncProtocol
import SyncTransport
import Synchronization

/// A WebSocket with the ticket it was admitted by.
private struct AcceptedWebSocket: Sendable {
    let connection: WebSocketConnection
    let ticket: WebSocketTicket
}

/// One accepted TCP connection.
struct ServerConnection: ServerChildChannelValue {
    /// What the first request makes of it.
    fileprivate enum Use: Sendable {
        case http(HTTP1Channel.Value)
        case webSocket(AcceptedWebSocket)
        case none
    }

    /// The WebSocket that a connection becomes after it has carried requests.
    fileprivate final class Late: Sendable {
        private let webSocket = Mutex<AcceptedWebSocket?>(nil)

        func put(_ webSocket: AcceptedWebSocket) { self.webSocket.withLock { $0 = webSocket } }

        func take() -> AcceptedWebSocket? {
            self.webSocket.withLock { value in
                defer { value = nil }
                return value
            }
        }
    }

    let channel: any Channel
    fileprivate let use: EventLoopFuture<Use>
    fileprivate let late: Late
}

/// Gives each accepted connection our front, and runs what it turns out to be in the connection's child task. Hummingbird's
/// handlers and their task state exist only for connections that carry plain requests.
struct ConnectionServer: ServerChildChannel {
    let policy: HTTPFrontPolicy<WebSocketTicket>
    let responder: HTTPChannelHandler.Responder
    let serve: WebSocketService

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<ServerConnection> {
        channel.eventLoop.makeCompletedFuture {
            let use = channel.eventLoop.makePromise(of: ServerConnection.Use.self)
            let late = ServerConnection.Late()
            var carriesHTTP = false
            let events = HTTPFrontEvents<WebSocketTicket>(
                installApplication: { channel in
                    carriesHTTP = true
                    try channel.pipeline.syncOperations.addHandler(HTTP1ToHTTPServerCodec(secure: false))
                    let httpChannel = try HTTP1Channel.Value(
                        wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true))
                    use.succeed(.http(httpChannel))
                },
                upgraded: { connection, ticket in
                    let webSocket = AcceptedWebSocket(connection: connection, ticket: ticket)
                    if carriesHTTP { late.put(webSocket) } else { use.succeed(.webSocket(webSocket)) }
                },
                ended: { use.succeed(.none) })
            do {
                try HTTPFront.install(on: channel, policy: self.policy, events: events)
            } catch {
                use.fail(error)
                throw error
            }
            // A channel that is closed before it was active tells its handlers of no end. Whatever came first counts.
            channel.closeFuture.whenComplete { _ in use.succeed(.none) }
            return ServerConnection(channel: channel, use: use.futureResult, late: late)
        }
    }

    func handle(value: ServerConnection, logger: Logger) async {
        let use = await withTaskCancellationHandler {
            (try? await value.use.get()) ?? .none
        } onCancel: {
            value.channel.close(promise: nil)
        }
        switch use {
        case .none: break
        case .webSocket(let webSocket): await self.run(webSocket, logger)
        case .http(let httpChannel): await self.run(httpChannel, late: value.late, logger)
        }
    }

    private func run(_ channel: HTTP1Channel.Value, late: ServerConnection.Late, _ logger: Logger) async {
        let http = HTTP1Channel(responder: { request, writer, channel in
            if let webSocket = late.take() {
                await self.run(webSocket, logger)
            } else {
                try await self.responder(request, writer, channel)
            }
        })
        await http.handle(value: channel, logger: logger)
    }

    private func run(_ webSocket: AcceptedWebSocket, _ logger: Logger) async {
        let connection = webSocket.connection
        let admission = webSocket.ticket.admission
        defer { admission.release() }
        await self.serve(connection, webSocket.ticket.family) { admission.markAuthenticated() }
        // For a service that has left it open, because it was cancelled or because it found nothing to say.
        if Task.isCancelled { connection.close(.goingAway) } else { connection.closeEcho() }
        await connection.waitUntilClosed()
        if let reason = connection.dropReason {
            logger.debug("connection dropped", metadata: ["reason": "\(reason.rawValue)"])
        }
    }
}
