import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// A WebSocket server as one would naively write it on NIO, for `Scripts/ratios` alone: what the server's own WebSocket layer
/// is measured against. Nothing of less-sync is in it.
///
///     plain-websocket echo|broadcast [PORT]
///
/// `echo` sends each binary message back, `broadcast` to all other connections. Prints the port it listens on.
@main
struct PlainWebSocket {
    static func main() async throws {
        let arguments = CommandLine.arguments.dropFirst()
        guard let mode = arguments.first, ["echo", "broadcast"].contains(mode) else {
            print("usage: plain-websocket echo|broadcast [PORT]")
            exit(64)
        }
        let members = mode == "broadcast" ? Members() : nil
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.backlog, value: 1_024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                let upgrader = NIOWebSocketServerUpgrader(
                    shouldUpgrade: { channel, _ in channel.eventLoop.makeSucceededFuture([:]) },
                    upgradePipelineHandler: { channel, _ in
                        channel.eventLoop.makeCompletedFuture {
                            try channel.pipeline.syncOperations.addHandler(Handler(members))
                        }
                    })
                return channel.pipeline.configureHTTPServerPipeline(
                    withServerUpgrade: (upgraders: [upgrader], completionHandler: { _ in }))
            }
            .bind(host: "127.0.0.1", port: arguments.dropFirst().first.flatMap { Int($0) } ?? 0).get()
        print(channel.localAddress?.port ?? 0)
        fflush(nil)
        try await channel.closeFuture.get()
    }
}

/// Everybody who is connected.
private final class Members: Sendable {
    private let channels = Mutex<[ObjectIdentifier: any Channel]>([:])

    func add(_ channel: any Channel) { self.channels.withLock { $0[ObjectIdentifier(channel)] = channel } }

    func remove(_ channel: any Channel) {
        _ = self.channels.withLock { $0.removeValue(forKey: ObjectIdentifier(channel)) }
    }

    func others(than channel: any Channel) -> [any Channel] {
        self.channels.withLock { channels in channels.values.filter { $0 !== channel } }
    }
}

private final class Handler: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame
    typealias OutboundOut = WebSocketFrame

    private let members: Members?

    init(_ members: Members?) { self.members = members }

    func handlerAdded(context: ChannelHandlerContext) { self.members?.add(context.channel) }

    func handlerRemoved(context: ChannelHandlerContext) { self.members?.remove(context.channel) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = self.unwrapInboundIn(data)
        switch frame.opcode {
        case .binary:
            let answer = WebSocketFrame(fin: true, opcode: .binary, data: frame.unmaskedData)
            guard let members = self.members else {
                context.writeAndFlush(self.wrapOutboundOut(answer), promise: nil)
                return
            }
            for channel in members.others(than: context.channel) { channel.writeAndFlush(answer, promise: nil) }
        case .connectionClose: context.close(promise: nil)
        default: break
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
