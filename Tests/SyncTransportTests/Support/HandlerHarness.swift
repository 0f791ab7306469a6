import NIOCore
import NIOEmbedded
import SyncProtocol

@testable import SyncTransport

/// A socket that takes nothing until it is told to. Lives on the channel's event loop.
private final class Dam: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer

    private let channel: NIOAsyncTestingChannel
    private var isOpen = true
    private var promises: [EventLoopPromise<Void>] = []

    init(_ channel: NIOAsyncTestingChannel) { self.channel = channel }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        context.write(data, promise: nil)
        if self.isOpen {
            promise?.succeed()
        } else {
            promise.map { self.promises.append($0) }
            self.channel.isWritable = false
            context.fireChannelWritabilityChanged()
        }
    }

    func close() { self.isOpen = false }

    /// What was written is taken, and all that follows.
    func open() {
        self.isOpen = true
        let promises = self.promises
        self.promises = []
        for promise in promises { promise.succeed() }
        self.channel.isWritable = true
        self.channel.pipeline.fireChannelWritabilityChanged()
    }
}

@available(*, unavailable)
extension Dam: Sendable {}

/// A handler in a channel without socket, whose clock stands still unless told otherwise.
struct HandlerHarness {
    let channel: NIOAsyncTestingChannel
    let connection: WebSocketConnection
    private let dam: NIOLoopBound<Dam>

    init(_ configuration: WebSocketConfiguration = .server) async throws {
        let loop = NIOAsyncTestingEventLoop()
        self.channel = NIOAsyncTestingChannel(loop: loop)
        try await self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).get()
        let pipeline = self.channel.pipeline
        let channel = self.channel
        (self.connection, self.dam) = try await loop.executeInContext {
            let dam = Dam(channel)
            let handler = WebSocketHandler(configuration: configuration, wakeUps: WakeUps(loop))
            try pipeline.syncOperations.addHandler(dam)
            try pipeline.syncOperations.addHandler(handler)
            return (handler.connection, NIOLoopBound(dam, eventLoop: loop))
        }
        await loop.run()
    }

    func receive(_ bytes: ByteBuffer) async throws {
        try await self.channel.writeInbound(bytes)
        await self.run()
    }

    func closeDam() async throws {
        try await self.channel.testingEventLoop.executeInContext { self.dam.value.close() }
    }

    func openDam() async throws {
        try await self.channel.testingEventLoop.executeInContext { self.dam.value.open() }
    }

    func run() async { await self.channel.testingEventLoop.run() }

    func fire(_ body: @escaping @Sendable (ChannelPipeline) -> Void) async throws {
        let pipeline = self.channel.pipeline
        try await self.channel.testingEventLoop.executeInContext { body(pipeline) }
        await self.run()
    }

    /// Runs `body` while the event loop does nothing else.
    func onEventLoop<Value: Sendable>(
        _ body: @escaping @Sendable (WebSocketConnection) -> Value
    ) async throws -> Value {
        let connection = self.connection
        return try await self.channel.testingEventLoop.executeInContext { body(connection) }
    }

    func advance(_ time: TimeAmount) async { await self.channel.testingEventLoop.advanceTime(by: time) }

    /// What was written since the last call.
    func written() async throws -> ByteBuffer {
        await self.run()
        var bytes = ByteBuffer()
        while let buffer = try await self.channel.readOutbound(as: ByteBuffer.self) {
            bytes.writeImmutableBuffer(buffer)
        }
        return bytes
    }

    var isOpen: Bool { self.channel.isActive }

    var isRoomAwaited: Bool { self.connection.isRoomAwaited }

    var isReceiverWaiting: Bool { self.connection.work { _ in true }.isAwaited }
}
