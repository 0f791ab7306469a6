import Glibc
package import NIOCore
import NIOPosix
import SyncProtocol
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
            /// What somebody waits for, unless it is the end.
            var isAwaited: @Sendable (State) -> Bool = { _ in false }
            var waiter: CheckedContinuation<Void, Never>?

            var isReady: Bool { self.hasEnded || self.isAwaited(self) }
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
                return state.waiter != nil && state.isReady ? state.waiter.take() : nil
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

    /// Waits until what arrived satisfies `condition`, the peer has ended its direction, or the task is cancelled. One
    /// caller at a time.
    ///
    /// - Returns: What arrived and was not taken.
    @discardableResult
    package func wait(
        until condition: @escaping @Sendable (ByteBuffer) -> Bool = { _ in false }
    ) async -> ByteBuffer {
        self.collector.state.withLock { $0.isAwaited = { condition($0.received) } }
        await self.collector.state.wait(at: \.waiter) { $0.isReady }
        return self.collector.state.withLock { $0.received }
    }

    /// Drops what has arrived and was not taken, and everything from now on; returns when it is `count` bytes, the peer has
    /// ended its direction, or the task is cancelled.
    ///
    /// - Returns: The number of bytes.
    package func drop(_ count: Int) async -> Int {
        self.collector.state.withLock { state in
            state.isDropping = true
            state.dropped += state.received.readableBytes
            state.received = ByteBuffer()
            state.isAwaited = { $0.dropped >= count }
        }
        await self.collector.state.wait(at: \.waiter) { $0.isReady }
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
