import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization

/// `/metrics` on a listener of its own, and nothing else there (docs/contract/operations.md §12).
struct MetricsServer: Service {
    /// Connections that say nothing are closed after this.
    private static let idleTimeout: TimeAmount = .seconds(60)
    /// Scrapers are few.
    private static let connectionsMax = 64

    let address: ListenAddress
    let registry: MetricsRegistry
    let storage: StorageMetrics
    let log: LogMetrics
    let logger: Logger
    /// Called once, with the address that was bound.
    var onListening: @Sendable (ListenAddress) async -> Void = { _ in }

    func run() async throws {
        let router = Router()
        router.get("/metrics") { request, _ in
            // To the router, slashes more or less make no difference.
            guard request.head.path?.prefix(while: { $0 != "?" }) == "/metrics" else {
                return Response(status: .notFound)
            }
            self.storage.update()
            self.log.update()
            return Response(
                status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
                body: ResponseBody(byteBuffer: ByteBuffer(string: self.registry.exposition())))
        }
        let isListening = Flag()
        let application = Application(
            router: router,
            server: .http1(configuration: HTTP1Channel.Configuration(idleTimeout: Self.idleTimeout)),
            configuration: ApplicationConfiguration(
                address: .hostname(self.address.host, port: self.address.port),
                availableConnectionsDelegate: .maximum(Self.connectionsMax, logger: self.logger)),
            onServerRunning: { channel in
                isListening.raise()
                var address = self.address
                address.port = channel.localAddress?.port ?? address.port
                self.logger.info("metrics listening", metadata: ["addr": "\(address)"])
                await self.onListening(address)
            },
            logger: self.logger)
        do {
            try await application.run()
        } catch {
            guard isListening.isRaised else {
                throw ListenFailure("METRICS_LISTEN_ADDR", self.address, error)
            }
            throw error
        }
    }
}

/// Raised once, and looked at from anywhere.
private final class Flag: Sendable {
    private let value = Atomic(false)

    var isRaised: Bool { self.value.load(ordering: .acquiring) }

    func raise() { self.value.store(true, ordering: .releasing) }
}
