import FoundationEssentials
package import NIOCore
import NIOHTTP1
import NIOPosix
package import NIOSSL

/// Why a connection could not be made.
package enum WebSocketClientError: Error, Hashable, Sendable {
    /// Not an absolute `ws`, `wss`, `http` or `https` URL.
    case invalidURL
    /// The server answered the upgrade with this status.
    case refused(status: UInt)
    /// The answer broke RFC 6455 or selected a subprotocol that was not offered.
    case invalidResponse(String)
    /// No socket, no TLS session, or no whole answer; `detail` is for logs.
    case unreachable(detail: String)
    case timedOut
}

/// Opens WebSockets: the client's end of what `WebSocketConnection` is.
package enum WebSocketClient {
    package struct Options: Sendable {
        /// Offered in this order. When there are any, the server has to select one of them.
        package var subprotocols: [String] = []
        /// Sent with the upgrade request in addition to those of RFC 6455.
        package var headers: [(name: String, value: String)] = []
        /// For `wss`; the system's trust roots by default.
        package var tls = TLSConfiguration.makeClientConfiguration()
        /// For the TCP connection, and again for TLS and the upgrade.
        package var timeout: TimeAmount = .seconds(10)
        package var connection = WebSocketConfiguration.client
        package var eventLoopGroup: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton

        package init(subprotocols: [String] = []) { self.subprotocols = subprotocols }
    }

    /// Connects, upgrades, and returns the open connection; the caller closes it.
    package static func connect(
        to url: String, _ options: Options
    ) async throws(WebSocketClientError) -> WebSocketConnection {
        let configuration = options.connection
        return try await Self.open(url, options) { subprotocol, eventLoop in
            let handler = WebSocketHandler(
                configuration: configuration, subprotocol: subprotocol, wakeUps: WakeUps(eventLoop))
            return (handler, handler.connection)
        }
    }

    /// As `connect`, but for a WebSocket that is used on `eventLoop` alone, without task or queue.
    package static func connect(
        to url: String, _ options: Options, on eventLoop: any EventLoop
    ) async throws(WebSocketClientError) -> NIOLoopBound<EventLoopWebSocket> {
        var options = options
        options.eventLoopGroup = eventLoop
        let bytesMax = options.connection.messageBytesMax
        return try await Self.open(url, options) { _, eventLoop in
            let socket = EventLoopWebSocket(messageBytesMax: bytesMax)
            return (socket, NIOLoopBound(socket, eventLoop: eventLoop))
        }
    }

    private static func open<Opened: Sendable>(
        _ url: String, _ options: Options, _ makeHandler: @escaping ClientUpgradeHandler<Opened>.MakeHandler
    ) async throws(WebSocketClientError) -> Opened {
        guard let target = Target(url) else { throw .invalidURL }
        do {
            let sslContext = target.isSecure ? try NIOSSLContext(configuration: options.tls) : nil
            let opened = options.eventLoopGroup.next().makePromise(of: Opened.self)
            let bootstrap = ClientBootstrap(group: opened.futureResult.eventLoop)
                .channelOption(.allowRemoteHalfClosure, value: true)
                .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                .connectTimeout(options.timeout)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try self.configure(channel, target, sslContext, options, opened, makeHandler)
                    }
                }
            bootstrap.connect(host: target.host, port: target.port).whenFailure { opened.fail($0) }
            return try await opened.futureResult.get()
        } catch let error as WebSocketClientError {
            throw error
        } catch ChannelError.connectTimeout {
            throw .timedOut
        } catch {
            throw .unreachable(detail: String(describing: error))
        }
    }

    private static func configure<Opened: Sendable>(
        _ channel: any Channel, _ target: Target, _ sslContext: NIOSSLContext?, _ options: Options,
        _ opened: EventLoopPromise<Opened>, _ makeHandler: @escaping ClientUpgradeHandler<Opened>.MakeHandler
    ) throws {
        let pipeline = channel.pipeline.syncOperations
        if let sslContext {
            // An address cannot be a server name (RFC 6066 §3).
            let serverName = target.isAddress ? nil : target.host
            try pipeline.addHandler(NIOSSLClientHandler(context: sslContext, serverHostname: serverName))
        }
        let encoder = HTTPRequestEncoder()
        let decoder = ByteToMessageHandler(HTTPResponseDecoder(leftOverBytesStrategy: .forwardBytes))
        try pipeline.addHandler(encoder)
        try pipeline.addHandler(decoder)
        try pipeline.addHandler(
            ClientUpgradeHandler(
                target: target, options: options, encoder: encoder, decoder: decoder, opened: opened,
                makeHandler: makeHandler))
    }

    /// The parts of a WebSocket URL that the connection and the request need.
    struct Target: Equatable, Sendable {
        let isSecure: Bool
        let host: String
        let port: Int
        /// Path and query.
        let requestTarget: String
        /// Value of the `Host` header.
        let authority: String

        init?(_ text: String) {
            guard let url = URL(string: text), let scheme = url.scheme?.lowercased() else { return nil }
            switch scheme {
            case "ws", "http": self.isSecure = false
            case "wss", "https": self.isSecure = true
            default: return nil
            }
            guard var host = url.host(percentEncoded: false), !host.isEmpty else { return nil }
            if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
            let defaultPort = self.isSecure ? 443 : 80
            self.host = host
            self.port = url.port ?? defaultPort
            let path = url.path(percentEncoded: true)
            let query = url.query(percentEncoded: true).map { "?" + $0 } ?? ""
            self.requestTarget = (path.isEmpty ? "/" : path) + query
            let name = host.contains(":") ? "[\(host)]" : host
            self.authority = self.port == defaultPort ? name : "\(name):\(self.port)"
        }

        var isAddress: Bool { (try? SocketAddress(ipAddress: self.host, port: self.port)) != nil }
    }
}
