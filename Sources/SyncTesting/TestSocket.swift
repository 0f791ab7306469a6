import Glibc
package import NIOCore
import NIOPosix
import Synchronization

/// A TCP connection to a server of this machine that sends whatever a test wants and keeps what arrives.
package struct TestSocket: Sendable {
    private let channel: any Channel
    private let collector: Collector

    private final class Collector: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer

        struct State {
            var received = ByteBuffer()
            /// Bytes that are counted and not kept.
            var dropped = 0
            var isDropping = false
            var hasEnded = false
            var waiter: (condition: @Sendable (State) -> Bool, continuation: CheckedContinuation<Void, Never>)?
        }

        let state = Mutex(State())

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = self.unwrapInboundIn(data)
            self.change { state in
                guard !state.isDropping else {
                    state.dropped += bytes.readableBytes
                    return
                }
                state.received.writeImmutableBuffer(bytes)
            }
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if case ChannelEvent.inputClosed = event { self.change { $0.hasEnded = true } }
        }

        func channelInactive(context: ChannelHandlerContext) { self.change { $0.hasEnded = true } }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

        func change(_ body: (inout State) -> Void) {
            let waiter = self.state.withLock { state -> CheckedContinuation<Void, Never>? in
                body(&state)
                guard let waiter = state.waiter, state.hasEnded || waiter.condition(state) else { return nil }
                state.waiter = nil
                return waiter.continuation
            }
            waiter?.resume()
        }
    }

    /// - Parameter port: of 127.0.0.1.
    package static func connect(port: Int) async throws -> TestSocket {
        let collector = Collector()
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelInitializer { $0.pipeline.addHandler(collector) }
            .connect(host: "127.0.0.1", port: port).get()
        return TestSocket(channel: channel, collector: collector)
    }

    package func send(_ bytes: ByteBuffer) async throws { try await self.channel.writeAndFlush(bytes) }

    /// Waits until what arrived satisfies `condition`, or the peer has ended its direction. One caller at a time.
    ///
    /// - Returns: What arrived and was not taken.
    @discardableResult
    package func wait(
        until condition: @escaping @Sendable (ByteBuffer) -> Bool = { _ in false }
    ) async -> ByteBuffer {
        await withCheckedContinuation { continuation in
            self.collector.change { $0.waiter = ({ condition($0.received) }, continuation) }
        }
        return self.collector.state.withLock { $0.received }
    }

    /// Drops what has arrived and was not taken, and everything from now on; returns when it is `count` bytes, or the peer has
    /// ended its direction.
    ///
    /// - Returns: The number of bytes.
    package func drop(_ count: Int) async -> Int {
        await withCheckedContinuation { continuation in
            self.collector.change { state in
                state.isDropping = true
                state.dropped += state.received.readableBytes
                state.received = ByteBuffer()
                state.waiter = ({ $0.dropped >= count }, continuation)
            }
        }
        return self.collector.state.withLock { $0.dropped }
    }

    /// Reads from what arrived; what `body` does not read stays.
    package func take<Result>(_ body: (inout ByteBuffer) -> Result) -> Result {
        self.collector.state.withLock { body(&$0.received) }
    }

    package func closeOutput() async throws { try await self.channel.close(mode: .output) }

    package func close() async { try? await self.channel.close() }

    /// Ends the connection with a reset: what is under way in either direction is lost.
    package func reset() async throws {
        try await (self.channel as? any SocketOptionProvider)?.setSoLinger(linger(l_onoff: 1, l_linger: 0)).get()
        try await self.channel.close()
    }
}
