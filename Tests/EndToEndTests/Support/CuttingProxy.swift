import NIOCore
import NIOPosix
import Synchronization

/// Stands between a client and a server, and cuts the first connections after some bytes of the client's.
enum CuttingProxy {
    /// Runs `body` with the port of a proxy that cuts `cuts` connections, each after `bytes`.
    static func with(
        target: Int, cuts: Int, after bytes: Int, _ body: (Int) async throws -> Void
    ) async throws {
        let left = CutCounter(cuts)
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelOption(.autoRead, value: false)
            .childChannelInitializer { inbound in
                ClientBootstrap(group: inbound.eventLoop)
                    .channelInitializer { $0.pipeline.addHandler(Forwarder(to: inbound, cutsAfter: nil, left)) }
                    .connect(host: "127.0.0.1", port: target)
                    .flatMap { outbound in
                        inbound.pipeline.addHandler(Forwarder(to: outbound, cutsAfter: bytes, left)).flatMap {
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

    final class CutCounter: Sendable {
        private let left: Mutex<Int>

        init(_ count: Int) { self.left = Mutex(count) }

        func take() -> Bool {
            self.left.withLock { left in
                guard left > 0 else { return false }
                left -= 1
                return true
            }
        }
    }

    private final class Forwarder: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer

        private let peer: any Channel
        private let cutsAfter: Int?
        private let counter: CutCounter
        private let forwarded = Mutex(0)

        init(to peer: any Channel, cutsAfter: Int?, _ counter: CutCounter) {
            self.peer = peer
            self.cutsAfter = cutsAfter
            self.counter = counter
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = self.unwrapInboundIn(data)
            let total = self.forwarded.withLock { total in
                total += bytes.readableBytes
                return total
            }
            if let cutsAfter, total > cutsAfter, self.counter.take() {
                self.peer.close(promise: nil)
                context.close(promise: nil)
            } else {
                self.peer.writeAndFlush(bytes, promise: nil)
            }
        }

        func channelInactive(context: ChannelHandlerContext) { self.peer.close(promise: nil) }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
