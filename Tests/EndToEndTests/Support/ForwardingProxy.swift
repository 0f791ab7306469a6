import NIOCore
import NIOPosix

/// Stands between a client and a server of this machine, and asks what to do with the bytes that pass.
enum ForwardingProxy {
    enum Verdict {
        case forward
        case drop
        /// Closes both connections; the bytes are lost.
        case cut
    }

    /// Runs `body` with the port of the proxy.
    ///
    /// - Parameter judge: Called for whatever arrives, with its direction and how many bytes came in it before and with these.
    static func with(
        target: Int, judge: @escaping @Sendable (_ isFromClient: Bool, _ total: Int) -> Verdict,
        _ body: (Int) async throws -> Void
    ) async throws {
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelOption(.autoRead, value: false)
            .childChannelInitializer { inbound in
                ClientBootstrap(group: inbound.eventLoop)
                    .channelInitializer { outbound in
                        outbound.eventLoop.makeCompletedFuture {
                            let handler = Forwarder(to: inbound) { judge(false, $0) }
                            try outbound.pipeline.syncOperations.addHandler(handler)
                        }
                    }
                    .connect(host: "127.0.0.1", port: target)
                    .flatMapThrowing { outbound in
                        let handler = Forwarder(to: outbound) { judge(true, $0) }
                        try inbound.pipeline.syncOperations.addHandler(handler)
                    }
                    .flatMap { inbound.setOption(.autoRead, value: true) }
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

    private final class Forwarder: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let peer: any Channel
        private let judge: (Int) -> Verdict
        private var total = 0

        init(to peer: any Channel, judge: @escaping (Int) -> Verdict) {
            self.peer = peer
            self.judge = judge
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = self.unwrapInboundIn(data)
            self.total += bytes.readableBytes
            switch self.judge(self.total) {
            case .forward: self.peer.writeAndFlush(bytes, promise: nil)
            case .drop: break
            case .cut:
                self.peer.close(promise: nil)
                context.close(promise: nil)
            }
        }

        func channelInactive(context: ChannelHandlerContext) { self.peer.close(promise: nil) }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
