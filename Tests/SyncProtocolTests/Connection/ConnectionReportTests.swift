import SyncProtocol
import Testing

@Suite("Reasons of a connection's end")
struct ConnectionReportTests {
    @Test(
        "operations §11: what this side closes with has a reason",
        arguments: [
            (CloseFrame.goingAway, "server_shutdown"), (.lifetimeReached, "lifetime_reached"),
            (.tokenExpired, "token_expired"), (.tooManyConnections, "too_many_connections"),
            (.slowConsumer, "slow_consumer"), (.authFailed("invalid auth token"), "auth_failed"),
            (.protocolError("empty binary frame"), "protocol_error"),
            (CloseFrame(code: 1002, reason: "reserved bit set"), "protocol_violation"),
            (CloseFrame(code: 1007, reason: ""), "protocol_violation"),
            (CloseFrame(code: 1009, reason: ""), "protocol_violation"),
            (CloseFrame(code: 4001, reason: "of another time"), "other"), (CloseFrame(code: 1000, reason: ""), "other"),
        ])
    func ownClose(frame: CloseFrame, reason: String) {
        #expect(ConnectionReport.Reason(ownClose: frame).rawValue == reason)
    }

    @Test("A new report counts nothing")
    func empty() {
        let report = ConnectionReport(reason: .other)
        #expect(
            [report.messagesIn, report.bytesIn, report.messagesOut, report.bytesOut] == [UInt64](repeating: 0, count: 4)
        )
    }
}
