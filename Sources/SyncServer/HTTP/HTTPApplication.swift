import Hummingbird
import HummingbirdCore
package import Logging
import NIOCore
import NIOHTTP1
import ServiceLifecycle
package import SyncAuth
package import SyncProtocol
import SyncTransport
import Synchronization

/// Runs one WebSocket to its end; the last argument reports that its token has been accepted.
package typealias WebSocketService =
    @Sendable (any FrameConnection, ProtocolFamily, @escaping @Sendable () -> Void) async -> Void

/// The HTTP server: routes, credentials, upgrades, limits (docs/contract/http.md).
///
/// A graceful shutdown makes `/health` and upgrades answer 503, stops accepting, and lets requests in progress finish.
/// `run()` returns when every connection is gone; open WebSockets are ended by whoever serves them.
package final class HTTPApplication: Service {
    private let configuration: HTTPServerConfiguration
    private let tokens: (any TokenValidator)?
    private let health: HealthProbe
    private let extraRoutes: [HTTPRoute]
    private let healthDetails: (@Sendable () -> HealthDetails)?
    private let metrics: HTTPMetrics?
    private let serve: WebSocketService
    private let onListening: @Sendable (ListenAddress) async -> Void
    private let logger: Logger
    private let isShuttingDown = Atomic(false)
    private let isListening = Atomic(false)
    /// WebSockets, in all and before authentication.
    package let admission: AdmissionControl

    /// - Parameters:
    ///   - tokens: `nil` when no issuer is trusted; then upgrades get 501 and other private paths 500.
    ///   - extraRoutes: served beside those of the contract, with the same stages in front of them.
    ///   - healthDetails: what `/health` says besides; `nil`: nothing.
    ///   - clock: for the time limit of `/health`.
    ///   - ping: one round trip to the database.
    ///   - onListening: called once, with the address that was bound.
    ///   - serve: called for every accepted WebSocket, in its connection's task.
    package init(
        configuration: HTTPServerConfiguration,
        tokens: (any TokenValidator)?,
        extraRoutes: [HTTPRoute] = [],
        healthDetails: (@Sendable () -> HealthDetails)? = nil,
        metrics: HTTPMetrics? = nil,
        clock: any Clock<Duration> = ContinuousClock(),
        logger: Logger,
        ping: @escaping @Sendable () async throws -> Void,
        onListening: @escaping @Sendable (ListenAddress) async -> Void = { _ in },
        serve: @escaping WebSocketService
    ) {
        self.configuration = configuration
        self.tokens = tokens
        self.extraRoutes = extraRoutes
        self.healthDetails = healthDetails
        self.metrics = metrics
        self.health = HealthProbe(timeout: configuration.healthTimeout, clock: clock, ping: ping)
        self.logger = logger
        self.onListening = onListening
        self.serve = serve
        self.admission = AdmissionControl(
            connectionsMax: configuration.connectionsMax,
            unauthenticatedMax: configuration.unauthenticatedConnectionsMax)
    }

    /// From now on `/health` and upgrades answer 503 and responses end their connections. Called by a graceful shutdown;
    /// earlier when a proxy is to notice first.
    package func beginShutdown() { self.isShuttingDown.store(true, ordering: .releasing) }

    package func run() async throws {
        let application = self.makeApplication()
        try await withGracefulShutdownHandler {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await self.health.run() }
                group.addTask {
                    do {
                        try await application.run()
                    } catch {
                        guard self.isListening.load(ordering: .acquiring) else {
                            throw ListenFailure("LISTEN_ADDR", self.configuration.address, error)
                        }
                        throw error
                    }
                }
                // The server is what ends by itself; the probe runs until it is cancelled.
                try await group.next()
                group.cancelAll()
            }
        } onGracefulShutdown: {
            self.beginShutdown()
        }
    }

    private func makeApplication() -> some ApplicationProtocol {
        let isShuttingDown: @Sendable () -> Bool = { self.isShuttingDown.load(ordering: .acquiring) }
        let routes =
            PublicRoutes.all(
                health: self.health, details: self.healthDetails, isShuttingDown: isShuttingDown)
            + FederationRoutes.all + self.extraRoutes
        let table = RouteTable(routes)
        let router = Router(context: SyncRequestContext.self)
        router.add(middleware: RequestGate(routes: table, tokens: self.tokens, metrics: self.metrics))
        for route in routes {
            for method in route.methods { router.on(RouterPath(route.path), method: method, use: route.handler) }
        }
        let upgrades = UpgradePolicy(
            families: self.configuration.families, hasTokenValidator: self.tokens != nil, admission: self.admission,
            isShuttingDown: isShuttingDown)
        var policy = HTTPFrontPolicy<WebSocketTicket> { upgrades.decide($0) }
        policy.isShuttingDown = isShuttingDown
        policy.commonHeaders = UpgradePolicy.commonHeaders
        policy.invalidContentLength = UpgradePolicy.invalidContentLength
        policy.unknownMethod = { path in
            guard let allowed = table.methods(of: String(path)) else { return HTTPFrontResponse(.notFound) }
            return HTTPFrontResponse(.methodNotAllowed, headers: ["Allow": RequestGate.list(allowed)])
        }
        policy.isBodyStreamed = { head in table.streamsBody(head.method.rawValue, head.uri.prefix { $0 != "?" }) }
        policy.timeouts = self.configuration.timeouts
        policy.webSocket = self.configuration.webSocket
        return Application(
            router: router,
            server: HTTPServerBuilder { [policy] responder in
                ConnectionServer(policy: policy, responder: responder, serve: self.serve)
            },
            configuration: ApplicationConfiguration(
                address: .hostname(self.configuration.address.host, port: self.configuration.address.port),
                backlog: 1_024,
                availableConnectionsDelegate: .maximum(self.configuration.tcpConnectionsMax, logger: self.logger)),
            onServerRunning: { await self.listening(on: $0) },
            logger: self.logger)
    }

    private func listening(on channel: any Channel) async {
        self.isListening.store(true, ordering: .releasing)
        var address = self.configuration.address
        address.port = channel.localAddress?.port ?? address.port
        self.logger.info("server listening", metadata: ["addr": "\(address)"])
        await self.onListening(address)
    }
}
