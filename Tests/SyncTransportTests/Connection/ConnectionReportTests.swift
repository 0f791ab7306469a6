import NIOCore
import SyncProtocol
import SyncTesting
import Testing

@testable import SyncTransport

@Suite("What a WebSocket reports when it ends", .timeLimit(.minutes(5)))
struct ConnectionReportTests {
    @Test("Messages and keepalives count with their payloads, control frames do not")
    func counts() async throws {
        let harness = try await HandlerHarness()
        try await harness.receive(TestFrame.binary([1, 2, 3]) + TestFrame.ping([4]))
        _ = await harness.connection.receive()
        harness.connection.enqueue(ByteBuffer(bytes: [5, 6]))
        harness.connection.enqueue(ByteBuffer(bytes: [7]))
        await harness.advance(.seconds(30))
        _ = try await harness.written()

        let report = harness.connection.report
        #expect(report.messagesIn == 1)
        #expect(report.bytesIn == 3)
        #expect(report.messagesOut == 3)
        #expect(report.bytesOut == 4)
    }

    @Test("The peer that sends a Close frame has closed")
    func peerClosed() async throws {
        let harness = try await HandlerHarness()
        try await harness.receive(TestFrame.close(1000))
        harness.connection.close(.goingAway)
        #expect(harness.connection.report.reason == .peerClosed)
    }

    @Test("An answer to a Close frame does not change who began", arguments: [false, true])
    func ownClose(isDropped: Bool) async throws {
        let harness = try await HandlerHarness()
        harness.connection.close(.lifetimeReached)
        _ = try await harness.written()
        if isDropped {
            await harness.advance(.seconds(60))
        } else {
            try await harness.receive(TestFrame.close(4001))
        }
        #expect(harness.connection.report.reason == .lifetimeReached)
    }

    @Test("A violation and a silent peer are told as such, whatever the session closes with afterwards")
    func dropped() async throws {
        let violating = try await HandlerHarness()
        async let received = violating.connection.receive()
        try await eventually("a receiver waits") { violating.isReceiverWaiting }
        try await violating.receive(ByteBuffer(bytes: [0xF2, 0x80, 0, 0, 0, 0]))
        _ = await received
        violating.connection.close(.goingAway)
        #expect(violating.connection.report.reason == .protocolViolation)

        let silent = try await HandlerHarness()
        await silent.advance(.seconds(90))
        silent.connection.close(.goingAway)
        #expect(silent.connection.report.reason == .silentPeer)
    }

    @Test("A stream that just ends is lost")
    func lost() async throws {
        let harness = try await HandlerHarness()
        try await harness.fire { $0.fireChannelInactive() }
        #expect(harness.connection.report.reason == .connectionLost)
    }

    @Test("Every reason to drop a connection is one to report", arguments: DropReason.allCases)
    func names(reason: DropReason) {
        #expect(ConnectionReport.Reason(reason).rawValue == reason.rawValue)
    }
}
