import NIOCore
import NIOEmbedded
import SyncProtocol
import SyncTesting
import Synchronization
import Testing

@testable import SyncTransport

@Suite("WebSocket handler", .timeLimit(.minutes(5)))
struct WebSocketHandlerTests {
    private static let keepalive = TestFrame.binary([0xF6], mask: nil)
    private static let emptyPing = TestFrame(opcode: 0x9, mask: nil).bytes

    @Test("W-57: a keepalive F6 and a Ping every 30 s from the start")
    func keepalive() async throws {
        let harness = try await HandlerHarness()
        await harness.advance(.seconds(29))
        #expect(try await harness.written() == ByteBuffer())
        for _ in 0..<3 {
            await harness.advance(.seconds(1))
            let bytes = try await harness.written()
            #expect(bytes == Self.emptyPing + Self.keepalive || bytes == Self.keepalive + Self.emptyPing)
            try await harness.receive(TestFrame.pong())
            await harness.advance(.seconds(29))
        }
    }

    @Test("nothing is written in the tick of the upgrade, whose HTTP handlers are still there")
    func firstTick() throws {
        let channel = EmbeddedChannel()
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        let handler = WebSocketHandler(configuration: .server, wakeUps: WakeUps(channel.embeddedEventLoop))
        try channel.pipeline.syncOperations.addHandler(handler)
        handler.connection.enqueue(ByteBuffer(bytes: [7]))
        channel.pipeline.fireChannelReadComplete()
        #expect(try channel.readOutbound(as: ByteBuffer.self) == nil)
        channel.embeddedEventLoop.run()
        #expect(try channel.readOutbound(as: ByteBuffer.self) == TestFrame.binary([7], mask: nil))
        handler.connection.closeEcho()
        _ = try? channel.finish()
    }

    @Test("a client sends Pings but no keepalive, and masks")
    func clientPing() async throws {
        let harness = try await HandlerHarness(.client)
        await harness.advance(.seconds(30))
        var bytes = try await harness.written()
        #expect(bytes.readableBytes == 6)
        #expect(bytes.readBytes(length: 2) == [0x89, 0x80])
    }

    @Test("W-60, R4: a peer that is silent for 90 s is dropped")
    func silence() async throws {
        let harness = try await HandlerHarness()
        await harness.advance(.seconds(89))
        #expect(harness.isOpen)
        await harness.advance(.seconds(1))
        #expect(!harness.isOpen)
        #expect(harness.connection.dropReason == .silentPeer)
        #expect(await harness.connection.receive() == .ended(.failed))
        #expect(harness.connection.offer(ByteBuffer()) == .ended)
    }

    @Test("W-60, R4: anything at all counts as a sign of life, a Pong included")
    func signsOfLife() async throws {
        let harness = try await HandlerHarness()
        for frame in [TestFrame.pong(), TestFrame.ping(), ByteBuffer(bytes: [0x82]), ByteBuffer(bytes: [0x80])] {
            await harness.advance(.seconds(80))
            #expect(harness.isOpen)
            try await harness.receive(frame)
        }
    }

    @Test("silence of a peer that is not read does not count")
    func pausedSilence() async throws {
        let harness = try await HandlerHarness()
        try await harness.receive(TestFrame.binary([1]))
        await harness.advance(.seconds(600))
        #expect(harness.isOpen)
        #expect(await harness.connection.receive() == .binary(ByteBuffer(bytes: [1])))
        await harness.run()
        await harness.advance(.seconds(89))
        #expect(harness.isOpen)
        await harness.advance(.seconds(91))
        #expect(!harness.isOpen)
    }

    @Test("a Ping is answered with its payload, also while a message waits for the session")
    func pong() async throws {
        let harness = try await HandlerHarness()
        try await harness.receive(TestFrame.ping([5, 6]) + TestFrame.binary([1]))
        #expect(try await harness.written() == TestFrame(opcode: 0xA, payload: [5, 6], mask: nil).bytes)
    }

    @Test("ten Pings in one read get ten Pongs in order")
    func manyPings() async throws {
        let harness = try await HandlerHarness()
        var pings = ByteBuffer()
        var pongs = ByteBuffer()
        for index in 0..<UInt8(10) {
            pings.writeImmutableBuffer(TestFrame.ping([index]))
            pongs.writeImmutableBuffer(TestFrame(opcode: 0xA, payload: [index], mask: nil).bytes)
        }
        try await harness.receive(pings)
        #expect(try await harness.written() == pongs)
    }

    @Test("only the latest Pings of a flood are answered")
    func pingFlood() async throws {
        let harness = try await HandlerHarness()
        var pings = ByteBuffer()
        for index in 0..<UInt8(200) { pings.writeImmutableBuffer(TestFrame.ping([index])) }
        try await harness.receive(pings)
        var bytes = try await harness.written()
        #expect(bytes.readableBytes == WebSocketConfiguration.pongsMax * 3)
        #expect(bytes.readBytes(length: 3) == [0x8A, 1, 200 - UInt8(WebSocketConfiguration.pongsMax)])
    }

    @Test("messages are handed over one at a time, in order")
    func order() async throws {
        let harness = try await HandlerHarness()
        try await harness.receive(TestFrame.binary([1]) + TestFrame.text("x") + TestFrame.binary([]))
        #expect(await harness.connection.receive() == .binary(ByteBuffer(bytes: [1])))
        await harness.run()
        #expect(await harness.connection.receive() == .text)
        await harness.run()
        #expect(await harness.connection.receive() == .binary(ByteBuffer()))
    }

    /// Returns once the session asks for a message.
    private static func untilAwaited(_ harness: HandlerHarness) async throws {
        try await eventually("the session asks for a message") {
            harness.connection.work(pausingUnless: { $0.hasRoomForMessage }).isAwaited
        }
    }

    private static var limitingFirst: WebSocketConfiguration {
        var configuration = WebSocketConfiguration.server
        configuration.firstMessageBytesMax = 4
        return configuration
    }

    @Test("W-45: a first message above its own limit ends with 1009")
    func firstMessageTooLarge() async throws {
        let harness = try await HandlerHarness(Self.limitingFirst)
        async let received = harness.connection.receive()
        try await harness.receive(TestFrame.binary([1, 2, 3, 4, 5]))
        #expect(await received == .ended(.failed))
        var bytes = try await harness.written()
        #expect(bytes.readBytes(length: 4) == [0x88, 17, 0x03, 0xF1])
    }

    @Test("W-45: what follows the first message is decoded when the session asks for it, and may be larger")
    func afterFirstMessage() async throws {
        for isAwaited in [false, true] {
            let harness = try await HandlerHarness(Self.limitingFirst)
            let frames = TestFrame.binary([1, 2, 3, 4]) + TestFrame.binary([5, 6, 7, 8, 9]) + TestFrame.ping([7])
            if isAwaited {
                async let first = harness.connection.receive()
                try await Self.untilAwaited(harness)
                try await harness.receive(frames)
                #expect(await first == .binary(ByteBuffer(bytes: [1, 2, 3, 4])))
            } else {
                try await harness.receive(frames)
                #expect(await harness.connection.receive() == .binary(ByteBuffer(bytes: [1, 2, 3, 4])))
            }
            // The Ping stands behind the second message.
            #expect(try await harness.written() == ByteBuffer())
            #expect(harness.connection.report.messagesIn == 1)
            #expect(await harness.connection.receive() == .binary(ByteBuffer(bytes: [5, 6, 7, 8, 9])))
            #expect(try await harness.written() == TestFrame(opcode: 0xA, payload: [7], mask: nil).bytes)
        }
    }

    @Test("text is kept on request")
    func keepsText() async throws {
        var configuration = WebSocketConfiguration.server
        configuration.keepsText = true
        let harness = try await HandlerHarness(configuration)
        try await harness.receive(TestFrame.text("grüß"))
        #expect(await harness.connection.receiveAny() == .message(.text(ByteBuffer(string: "grüß"))))
        harness.connection.enqueueText(ByteBuffer(string: "a"))
        harness.connection.enqueue(ByteBuffer(string: "b"))
        harness.connection.enqueueText(ByteBuffer(string: "c"))
        #expect(
            try await harness.written() == TestFrame(opcode: 1, payload: [0x61], mask: nil).bytes
                + TestFrame.binary([0x62], mask: nil) + TestFrame(opcode: 1, payload: [0x63], mask: nil).bytes)
    }

    @Test("a violation is answered with its code, then input is dropped and the socket closed")
    func violation() async throws {
        let harness = try await HandlerHarness()
        async let received = harness.connection.receive()
        try await eventually("a receiver waits") { harness.isReceiverWaiting }
        try await harness.receive(TestFrame(reserved: 1).bytes + TestFrame.binary([1]))
        #expect(await received == .ended(.failed))
        #expect(try await harness.written() == TestFrame.close(1002, "reserved bit set", mask: nil))
        try await harness.receive(TestFrame.ping())
        #expect(try await harness.written() == ByteBuffer())
        await harness.advance(.seconds(1))
        #expect(!harness.isOpen)
        #expect(harness.connection.dropReason == .protocolViolation)
    }

    @Test("a violation behind a request waits for its answer, but not for ever")
    func heldViolation() async throws {
        let harness = try await HandlerHarness()
        async let received = harness.connection.receive()
        try await eventually("a receiver waits") { harness.isReceiverWaiting }
        try await harness.receive(TestFrame.binary([1]) + TestFrame(reserved: 1).bytes)
        #expect(await received == .binary(ByteBuffer(bytes: [1])))
        #expect(try await harness.written() == ByteBuffer())
        harness.connection.enqueue(ByteBuffer(bytes: [2]))
        #expect(try await harness.written() == TestFrame.binary([2], mask: nil))
        await harness.advance(.seconds(1))
        #expect(try await harness.written() == TestFrame.close(1002, "reserved bit set", mask: nil))
        #expect(await harness.connection.receive() == .ended(.failed))
    }

    @Test("W-63, C18: the peer's Close is echoed when the session asks for it")
    func echo() async throws {
        let harness = try await HandlerHarness()
        harness.connection.enqueue(ByteBuffer(bytes: [1]))
        try await harness.receive(TestFrame.binary([7]) + TestFrame.close(1000, "client close"))
        #expect(await harness.connection.receive() == .binary(ByteBuffer(bytes: [7])))
        await harness.run()
        #expect(await harness.connection.receive() == .ended(.peerClosed))
        #expect(try await harness.written() == TestFrame.binary([1], mask: nil))
        harness.connection.closeEcho()
        harness.connection.close(.slowConsumer)
        #expect(try await harness.written() == TestFrame.close(1000, mask: nil))
    }

    @Test("C18: the peer's Close is echoed after 1 s when the session does not answer")
    func unanswered() async throws {
        let harness = try await HandlerHarness()
        try await harness.receive(TestFrame.close(4321))
        #expect(await harness.connection.receive() == .ended(.peerClosed))
        await harness.advance(.milliseconds(999))
        #expect(try await harness.written() == ByteBuffer())
        await harness.advance(.milliseconds(1))
        #expect(try await harness.written() == TestFrame.close(4321, mask: nil))
        await harness.advance(.seconds(1))
        #expect(!harness.isOpen)
        #expect(await harness.connection.receive() == .ended(.peerClosed))
    }

    @Test("a Close frame is written behind what is queued; the peer's Close is awaited for 1 s")
    func localClose() async throws {
        let harness = try await HandlerHarness()
        harness.connection.enqueue(ByteBuffer(bytes: [1]))
        harness.connection.close(.lifetimeReached)
        #expect(harness.connection.offer(ByteBuffer()) == .ended)
        harness.connection.enqueue(ByteBuffer())
        await #expect(throws: ConnectionEnded()) { try await harness.connection.room() }
        #expect(await harness.connection.receive() == .ended(.closedLocally))
        #expect(
            try await harness.written() == TestFrame.binary([1], mask: nil)
                + TestFrame.close(4001, "connection timeout", mask: nil))
        try await harness.receive(TestFrame.binary([9]))
        #expect(await harness.connection.receive() == .ended(.closedLocally))
        await harness.advance(.milliseconds(999))
        #expect(harness.isOpen)
        await harness.advance(.milliseconds(1))
        #expect(!harness.isOpen)
        await harness.connection.waitUntilClosed()
    }

    @Test("a slow consumer's queue is dropped in favour of the Close frame")
    func discarding() async throws {
        let harness = try await HandlerHarness()
        // On the event loop, so that it cannot write the first before the second is said.
        try await harness.channel.testingEventLoop.executeInContext {
            harness.connection.enqueue(ByteBuffer(bytes: [1]))
            harness.connection.closeDiscardingQueue(.slowConsumer)
        }
        #expect(try await harness.written() == TestFrame.close(4006, "slow consumer", mask: nil))
    }

    @Test("a cancelled receive leaves the connection open")
    func cancelledReceive() async throws {
        let harness = try await HandlerHarness()
        let task = Task { await harness.connection.receive() }
        try await eventually("a receiver waits") { harness.isReceiverWaiting }
        task.cancel()
        #expect(await task.value == .ended(.closedLocally))
        try await harness.receive(TestFrame.binary([1]))
        #expect(await harness.connection.receive() == .binary(ByteBuffer(bytes: [1])))
        let cancelled = Task {
            while !Task.isCancelled { await Task.yield() }
            return await harness.connection.receive()
        }
        cancelled.cancel()
        #expect(await cancelled.value == .ended(.closedLocally))
    }

    @Test("end of stream without Close: the rest is decoded first, then the session may still say why it closes")
    func endOfStream() async throws {
        let harness = try await HandlerHarness()
        try await harness.receive(TestFrame.binary([1]) + TestFrame.binary([2]))
        try await harness.fire { $0.fireUserInboundEventTriggered(ChannelEvent.inputClosed) }
        for byte: UInt8 in [1, 2] {
            #expect(await harness.connection.receive() == .binary(ByteBuffer(bytes: [byte])))
            await harness.run()
        }
        #expect(await harness.connection.receive() == .ended(.peerClosed))
        harness.connection.close(.authFailed("connection closed before auth"))
        #expect(try await harness.written() == TestFrame.close(4000, "connection closed before auth", mask: nil))
        #expect(!harness.isOpen)
    }

    @Test("a transport error ends the connection as failed")
    func transportError() async throws {
        let harness = try await HandlerHarness()
        try await harness.fire { $0.fireErrorCaught(IOError(errnoCode: 104, reason: "reset")) }
        #expect(await harness.connection.receive() == .ended(.failed))
        #expect(harness.connection.dropReason == .transportError)
        #expect(!harness.isOpen)
        await harness.connection.waitUntilClosed()
    }

    @Test("quiescing is the session's business")
    func quiescing() async throws {
        let harness = try await HandlerHarness()
        try await harness.fire { $0.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent()) }
        #expect(harness.isOpen)
    }

    @Test("W-53: a full queue refuses a notification; room comes back when it has been written")
    func fullQueue() async throws {
        let harness = try await HandlerHarness()
        try await harness.connection.room()
        let frame = ByteBuffer(bytes: [1])
        try await harness.closeDam()
        #expect(harness.connection.offer(frame) == .queued)
        await harness.run()
        for _ in 1..<Limits.outboundFramesMax { #expect(harness.connection.offer(frame) == .queued) }
        #expect(harness.connection.offer(frame) == .full)
        harness.connection.enqueue(frame)
        async let room: Void = harness.connection.room()
        let cancelled = Task { try await harness.connection.room() }
        cancelled.cancel()
        await #expect(throws: ConnectionEnded()) { try await cancelled.value }
        try await harness.openDam()
        #expect(try await harness.written().readableBytes == 3 * (Limits.outboundFramesMax + 1))
        try await room
        #expect(harness.connection.offer(frame) == .queued)
    }

    @Test("W-53: a burst may wait for the event loop while the socket takes everything, up to a limit of its own")
    func burst() async throws {
        let harness = try await HandlerHarness()
        let frame = ByteBuffer(bytes: [1])
        for _ in 0..<2 {
            let results = try await harness.onEventLoop { connection in
                (0...Limits.outboundBurstFramesMax).map { _ in connection.offer(frame) }
            }
            #expect(results.count { $0 == .queued } == Limits.outboundBurstFramesMax)
            #expect(results.last == .full)
            #expect(try await harness.written().readableBytes == 3 * Limits.outboundBurstFramesMax)
        }
        try await harness.closeDam()
        #expect(harness.connection.offer(frame) == .queued)
        await harness.run()
        let results = (0..<Limits.outboundFramesMax).map { _ in harness.connection.offer(frame) }
        #expect(results.count { $0 == .queued } == Limits.outboundFramesMax - 1)
        #expect(results.last == .full)
    }

    @Test("R1: a socket that takes nothing for 30 s is given up, its frames in flight notwithstanding")
    func writeStall() async throws {
        let harness = try await HandlerHarness()
        try await harness.closeDam()
        harness.connection.enqueue(ByteBuffer(bytes: [1]))
        await harness.run()
        await harness.advance(.seconds(29))
        #expect(harness.isOpen)
        try await harness.openDam()
        try await harness.closeDam()
        harness.connection.enqueue(ByteBuffer(bytes: [2]))
        await harness.run()
        await harness.advance(.seconds(29))
        #expect(harness.isOpen)
        await harness.advance(.seconds(1))
        #expect(!harness.isOpen)
        #expect(harness.connection.dropReason == .writeStall)
    }

    @Test("R1: a peer that acknowledges something now and then keeps a socket that takes no more, until it stops")
    func slowPeer() async throws {
        let acknowledged = Atomic<UInt64>(0)
        var configuration = WebSocketConfiguration.server
        configuration.acknowledgedBytes = { _ in acknowledged.load(ordering: .relaxed) }
        configuration.silenceMax = .hours(1)
        let harness = try await HandlerHarness(configuration)
        try await harness.closeDam()
        harness.connection.enqueue(ByteBuffer(bytes: [1]))
        await harness.run()
        for _ in 0..<5 {
            await harness.advance(.seconds(24))
            acknowledged.add(1, ordering: .relaxed)
        }
        await harness.advance(.seconds(29))
        #expect(harness.isOpen)
        await harness.advance(.seconds(6))
        #expect(!harness.isOpen)
        #expect(harness.connection.dropReason == .writeStall)
    }

    @Test("a Close frame that cannot be written is given up after 30 s")
    func closeTimeout() async throws {
        let harness = try await HandlerHarness()
        try await harness.closeDam()
        harness.connection.enqueue(ByteBuffer(bytes: [1]))
        await harness.run()
        await harness.advance(.seconds(1))
        harness.connection.close(.goingAway)
        await harness.run()
        await harness.advance(.seconds(30))
        #expect(!harness.isOpen)
        await harness.connection.waitUntilClosed()
    }

    @Test("a wait for room ends with the connection")
    func roomAfterEnd() async throws {
        let harness = try await HandlerHarness()
        try await harness.closeDam()
        for _ in 0..<Limits.outboundFramesMax { harness.connection.enqueue(ByteBuffer()) }
        let waiting = Task { try await harness.connection.room() }
        try await eventually("somebody waits for room") { harness.isRoomAwaited }
        harness.connection.closeDiscardingQueue(.slowConsumer)
        await #expect(throws: ConnectionEnded()) { try await waiting.value }
    }
}
