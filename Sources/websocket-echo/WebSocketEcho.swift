import NIOCore
import NIOHTTP1
import NIOPosix
import SyncTransport

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// An echo endpoint over the WebSocket layer of the server, for `Scripts/autobahn.sh` alone: it answers every upgrade, whatever
/// its path and subprotocol. Prints the port it listens on.
@main
struct WebSocketEcho {
    static func main() async throws {
        let port = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 0
        let (connections, continuation) = AsyncStream.makeStream(of: WebSocketConnection.self)
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let events = HTTPFrontEvents<Void>(
                        installApplication: { $0.close(promise: nil) },
                        upgraded: { connection, _ in continuation.yield(connection) },
                        ended: {})
                    try HTTPFront.install(on: channel, policy: self.policy, events: events)
                }
            }
            .bind(host: "127.0.0.1", port: port).get()
        print(channel.localAddress?.port ?? 0)
        fflush(nil)
        await withDiscardingTaskGroup { group in
            for await connection in connections { group.addTask { await self.echo(connection) } }
        }
    }

    private static var policy: HTTPFrontPolicy<Void> {
        var policy = HTTPFrontPolicy<Void> { request in
            if let fault = WebSocketUpgrade.handshakeFault(request.headers) {
                .respond(HTTPFrontResponse(.badRequest, body: fault))
            } else {
                .upgrade(subprotocol: nil, ticket: ())
            }
        }
        policy.webSocket.keepsText = true
        return policy
    }

    private static func echo(_ connection: WebSocketConnection) async {
        while case .message(let message) = await connection.receiveAny() {
            switch message {
            case .binary(let bytes): connection.enqueue(bytes)
            case .text(let text): connection.enqueueText(text ?? ByteBuffer())
            }
            guard (try? await connection.room()) != nil else { break }
        }
        connection.closeEcho()
        await connection.waitUntilClosed()
    }
}
