import NIOCore
import NIOEmbedded
import SyncProtocol
import SyncTesting
import Synchronization
import Testing

@testable import SyncTransport

extension WebSocketHandlerTests {
    /// Messages of 200 bytes, each of another byte, and their frames.
    private func run(of count: Int, mask: UInt32? = nil) -> (MessageRun, messages: [ByteBuffer]) {
        var run = MessageRun()
        let messages = (0..<count).map { ByteBuffer(repeating: UInt8(truncatingIfNeeded: $0), count: 200) }
        for message in messages { #expect(run.append(copying: message) == true) }
        return (run, messages)
    }

    @Test("a run is written as the frames of its messages, in its place among the others and behind control frames")
    func runs() async throws {
        let harness = try await HandlerHarness()
        let (run, messages) = run(of: 1_000)
        var expected = ByteBuffer()
        try await harness.closeDam()
        harness.connection.enqueue(ByteBuffer(bytes: [1]))
        await harness.run()
        try await harness.receive(TestFrame(opcode: 0x9, payload: [5]).bytes)
        harness.connection.enqueue(run)
        harness.connection.enqueue(ByteBuffer(bytes: [2]))
        await harness.run()
        try await harness.openDam()
        expected.writeFrame(.binary, payload: ByteBuffer(bytes: [1]), mask: nil)
        expected.writeFrame(.pong, payload: ByteBuffer(bytes: [5]), mask: nil)
        for message in messages { expected.writeFrame(.binary, payload: message, mask: nil) }
        expected.writeFrame(.binary, payload: ByteBuffer(bytes: [2]), mask: nil)
        #expect(try await harness.written() == expected)
        try await harness.connection.room()
    }

    @Test("R3: of a run so much is handed to the socket at a time as of other frames, and the rest can be discarded")
    func runInParts() async throws {
        let harness = try await HandlerHarness()
        let (run, _) = run(of: 1_000)
        try await harness.closeDam()
        harness.connection.enqueue(run)
        await harness.run()
        harness.connection.closeDiscardingQueue(.slowConsumer)
        await harness.run()
        try await harness.openDam()
        let written = try await harness.written()
        let close = TestFrame.close(4006, "slow consumer", mask: nil)
        #expect(written.readableBytes < WebSocketConfiguration.batchBytesMax + 204 + close.readableBytes)
        #expect((written.readableBytes - close.readableBytes) % 204 == 0)
        #expect(written.getSlice(at: written.writerIndex - close.readableBytes, length: close.readableBytes) == close)
    }

    @Test("a client masks each message of a run")
    func maskedRun() async throws {
        let harness = try await HandlerHarness(.client)
        let (run, messages) = run(of: 10)
        harness.connection.enqueue(run)
        await harness.run()
        var decoder = WebSocketDecoder(expectsMask: true)
        decoder.append(try await harness.written())
        for message in messages { #expect(try decoder.nextEvent() == .binary(message)) }
        #expect(try decoder.nextEvent() == nil)
    }

    @Test("large payloads are shared, small ones copied; all arrive as written")
    func sizes() async throws {
        let harness = try await HandlerHarness()
        var expected = ByteBuffer()
        for count in [0, 1, 4_096, 4_097, 40_000, 100_000] {
            let payload = ByteBuffer(bytes: Array(repeating: UInt8(truncatingIfNeeded: count), count: count))
            harness.connection.enqueue(payload)
            expected.writeFrame(.binary, payload: payload, mask: nil)
        }
        #expect(try await harness.written() == expected)
    }

    @Test("a client's frames are masked and readable")
    func clientFrames() async throws {
        let harness = try await HandlerHarness(.client)
        let payload = ByteBuffer(bytes: Array(repeating: 9, count: 10_000))
        harness.connection.enqueue(payload)
        var decoder = WebSocketDecoder(expectsMask: true)
        decoder.append(try await harness.written())
        let event = try decoder.nextEvent()
        #expect(event == .binary(payload))
    }
}
