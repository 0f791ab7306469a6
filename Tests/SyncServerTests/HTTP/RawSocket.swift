import NIOCore
import NIOPosix
import Synchronization

/// A socket that sends and receives whatever a test wants.
struct RawSocket {
    let channel: any Channel
    private let collector: Collector

    private final class Collector: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer

        struct State {
            var received = ByteBuffer()
            var hasEnded = false
            var waiter: (condition: @Sendable (ByteBuffer) -> Bool, continuation: CheckedContinuation<Void, Never>)?
        }

        let state = Mutex(State())

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = self.unwrapInboundIn(data)
            self.change { $0.received.writeImmutableBuffer(bytes) }
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if case ChannelEvent.inputClosed = event { self.change { $0.hasEnded = true } }
        }

        func channelInactive(context: ChannelHandlerContext) { self.change { $0.hasEnded = true } }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

        func change(_ body: (inout State) -> Void) {
            let waiter = self.state.withLock { state -> CheckedContinuation<Void, Never>? in
                body(&state)
                guard let waiter = state.waiter, state.hasEnded || waiter.condition(state.received) else { return nil }
                state.waiter = nil
                return waiter.continuation
            }
            waiter?.resume()
        }
    }

    static func connect(port: Int) async throws -> RawSocket {
        let collector = Collector()
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelInitializer { $0.pipeline.addHandler(collector) }
            .connect(host: "127.0.0.1", port: port).get()
        return RawSocket(channel: channel, collector: collector)
    }

    func send(_ text: String) async throws { try await self.channel.writeAndFlush(ByteBuffer(string: text)) }

    func send(_ bytes: [UInt8]) async throws { try await self.channel.writeAndFlush(ByteBuffer(bytes: bytes)) }

    /// Waits until what arrived satisfies `condition`, or the stream has ended.
    @discardableResult
    func wait(until condition: @escaping @Sendable (ByteBuffer) -> Bool = { _ in false }) async -> ByteBuffer {
        await withCheckedContinuation { continuation in
            self.collector.change { $0.waiter = (condition, continuation) }
        }
        return self.collector.state.withLock { $0.received }
    }

    /// The next response, complete by its Content-Length; what follows stays.
    func response() async -> RawResponse {
        await self.wait { RawResponse(String(buffer: $0)) != nil }
        var response = RawResponse()
        self.collector.change { state in
            let text = String(buffer: state.received)
            guard let first = RawResponse(text) else { return }
            response = first
            state.received.moveReaderIndex(forwardBy: first.bytes)
        }
        return response
    }

    func close() async { try? await self.channel.close() }
}

/// A response as text.
struct RawResponse: Equatable {
    var status = 0
    var headers: [String: String] = [:]
    var body = ""
    var bytes = 0

    init() {}

    /// `nil` until head and body are complete.
    init?(_ text: String) {
        guard let end = text.utf8.firstRange(of: "\r\n\r\n".utf8) else { return nil }
        let lines = String(text[..<end.lowerBound]).split(separator: "\r\n")
        guard let line = lines.first else { return nil }
        self.status = Int(line.split(separator: " ")[1]) ?? 0
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            self.headers[parts[0].lowercased()] = String(parts.count > 1 ? parts[1].dropFirst() : "")
        }
        let rest = text[end.upperBound...].utf8
        let length = self.status < 200 ? 0 : Int(self.headers["content-length"] ?? "0") ?? 0
        guard rest.count >= length else { return nil }
        self.body = String(Substring(rest.prefix(length)))
        self.bytes = text.utf8.distance(from: text.startIndex, to: end.upperBound) + length
    }
}

extension Collection where Element: Equatable {
    fileprivate func firstRange(of pattern: some Collection<Element>) -> Range<Index>? {
        var start = self.startIndex
        while start != self.endIndex {
            if self[start...].starts(with: pattern) {
                return start..<self.index(start, offsetBy: pattern.count)
            }
            start = self.index(after: start)
        }
        return nil
    }
}
