import NIOCore
import NIOPosix
import Synchronization

/// Stands between a server and its database. Once it stalls, it keeps every connection and carries nothing.
final class StallingProxy: Sendable {
    private let isStalled = Mutex(false)

    func stall() { self.isStalled.withLock { $0 = true } }

    /// Runs `body` with the port of the proxy.
    func run(target: Int, _ body: (Int) async throws -> Void) async throws {
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelOption(.autoRead, value: false)
            .childChannelInitializer { inbound in
                ClientBootstrap(group: inbound.eventLoop)
                    .channelInitializer { $0.pipeline.addHandler(Forwarder(to: inbound, self)) }
                    .connect(host: "127.0.0.1", port: target)
                    .flatMap { outbound in
                        inbound.pipeline.addHandler(Forwarder(to: outbound, self)).flatMap {
                            inbound.setOption(.autoRead, value: true)
                        }
                    }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(channel.localAddress?.port ?? 0))
        } catch {
            result = .failure(error)
        }
        try await channel.close()
        try result.get()
    }

    private final class Forwarder: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer

        private let peer: any Channel
        private let proxy: StallingProxy

        init(to peer: any Channel, _ proxy: StallingProxy) {
            self.peer = peer
            self.proxy = proxy
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            guard !self.proxy.isStalled.withLock({ $0 }) else { return }
            self.peer.writeAndFlush(self.unwrapInboundIn(data), promise: nil)
        }

        func channelInactive(context: ChannelHandlerContext) { self.peer.close(promise: nil) }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
