import NIOCore
import SyncAuth
import SyncProtocol
import SyncTesting
import Testing

@testable import SyncCore

@Suite("Session state machine")
struct SessionStateMachineTests {
    private func open(_ principal: Principal = .fixture()) -> SessionStateMachine {
        var machine = SessionStateMachine()
        _ = machine.received(.binary(FrameEncoder.auth(token: "T")))
        _ = machine.authenticated(.success(principal))
        return machine
    }

    private let request = FrameEncoder.request(id: "rpc-1", method: .push, params: TokenParams(token: ""))

    @Test("W-15: an auth frame is validated, then the connection is open")
    func auth() {
        var machine = SessionStateMachine()
        #expect(machine.received(.binary(ByteBuffer(hex: Self.authFrame))) == .authenticate(token: "T"))
        #expect(machine.principal == nil)
        #expect(machine.authenticated(.success(.fixture())) == .register(MailboxKey(.fixture())))
        #expect(machine.principal == .fixture())
        #expect(machine.mayRead)
    }

    /// `{type: 2, method: "auth", params: {token: "T"}}`, frame C1 of the wire contract.
    static let authFrame = "a3647479706502666d6574686f64646175746866706172616d73a165746f6b656e6154"

    @Test(
        "W-12, W-13, W-14, W-18: a first message that is not an auth frame closes with 4000 and its reason",
        arguments: [
            (ReceivedMessage.text, "expected binary auth frame"),
            (.binary(ByteBuffer()), "empty auth frame"),
            (.binary(ByteBuffer(hex: "f6")), "invalid auth frame"),
            (.binary(ByteBuffer(hex: "a5")), "invalid auth frame"),
            (.binary(FrameEncoder.auth(token: "")), "empty auth token"),
            (
                .binary(FrameEncoder.notification(method: .unsubscribe, params: TokenParams(token: "T"))),
                "first frame must be an auth notification"
            ),
            (
                .binary(FrameEncoder.request(id: "1", method: .auth, params: TokenParams(token: "T"))),
                "first frame must be an auth notification"
            ),
            (.ended(.peerClosed), "connection closed before auth"),
            (.ended(.failed), "failed to read auth frame"),
        ])
    func firstMessage(_ message: ReceivedMessage, reason: String) {
        var machine = SessionStateMachine()
        #expect(machine.received(message) == .close(CloseFrame(code: 4000, reason: reason)))
        #expect(machine.received(.binary(ByteBuffer(hex: Self.authFrame))) == .stop)
    }

    @Test("W-12: the auth timeout closes with 4000, unless the frame has come")
    func authTimeout() {
        var silent = SessionStateMachine()
        #expect(silent.authTimedOut() == .close(CloseFrame(code: 4000, reason: "auth timeout")))
        var late = SessionStateMachine()
        _ = late.received(.binary(ByteBuffer(hex: Self.authFrame)))
        #expect(late.authTimedOut() == .stop)
    }

    @Test(
        "W-16, W-17: a refused token closes with 4000 and its reason",
        arguments: [
            (Result<Principal, TokenError>.failure(.missing), "empty auth token"),
            (.failure(.invalid), "invalid auth token"),
            (.failure(.expired), "expired auth token"),
            (.failure(.untrustedIssuer), "untrusted auth issuer"),
            (.success(.fixture(scopes: ["files"])), "sync scope required"),
            (.success(.fixture(scopes: ["synchronize", "SYNC"])), "sync scope required"),
        ])
    func refusedToken(_ result: Result<Principal, TokenError>, reason: String) {
        var machine = SessionStateMachine()
        _ = machine.received(.binary(ByteBuffer(hex: Self.authFrame)))
        #expect(machine.authenticated(result) == .close(CloseFrame(code: 4000, reason: reason)))
        #expect(machine.principal == nil)
    }

    @Test(
        "W-30…W-33: a message that breaks the protocol closes an open connection with 4005",
        arguments: [
            (ReceivedMessage.text, "expected binary rpc frame"),
            (.binary(ByteBuffer()), "empty binary frame"),
            (.binary(ByteBuffer(hex: "f6f6")), "invalid cbor frame"),
            (.binary(ByteBuffer(hex: "ffffff")), "invalid cbor frame"),
            (.binary(ByteBuffer(hex: "a5")), "invalid cbor frame"),
            (.binary(ByteBuffer(hex: "80")), "invalid cbor frame"),
            (.binary(ByteBuffer(hex: "a0")), "invalid cbor frame"),
            (.binary(ByteBuffer(hex: "a16474797065f90000")), "invalid cbor frame"),
            (.binary(ByteBuffer(hex: "a2647479706502626964f6")), "invalid cbor frame"),
        ])
    func protocolError(_ message: ReceivedMessage, reason: String) {
        var machine = self.open()
        #expect(machine.received(message) == .close(CloseFrame(code: 4005, reason: reason)))
        #expect(machine.received(.binary(self.request)) == .stop)
    }

    @Test(
        "W-34, W-37, W-39, W-40: keepalive, responses, chunks and unknown types are ignored",
        arguments: ["f6", "a1647479706501", "a1647479706503", "a164747970651863", "a16474797065387f"])
    func ignored(hex: String) {
        var machine = self.open()
        #expect(machine.received(.binary(ByteBuffer(hex: hex))) == .ignore)
        #expect(machine.mayRead)
    }

    @Test("a request is handled under the identity of its arrival")
    func identity() {
        var machine = self.open()
        guard case .request(let first, let before) = machine.received(.binary(self.request)) else {
            Issue.record("not dispatched")
            return
        }
        #expect(first.id == "rpc-1")
        #expect(before == .fixture())
        machine.refreshed(.fixture("user-2"))
        guard case .request(_, let after) = machine.received(.binary(self.request)) else {
            Issue.record("not dispatched")
            return
        }
        #expect(after == .fixture("user-2"))
    }

    @Test("C18: a peer that closes is answered, a transport that failed is let go")
    func peerEnds() {
        var machine = self.open()
        #expect(machine.received(.ended(.peerClosed)) == .closeEcho)
        #expect(machine.received(.ended(.peerClosed)) == .stop)
        machine = self.open()
        #expect(machine.received(.ended(.failed)) == .closeEcho)
        machine = self.open()
        #expect(machine.received(.ended(.closedLocally)) == .stop)
    }

    @Test("W-59: draining closes an idle connection at once, and one that has not authenticated")
    func drainIdle() {
        var machine = self.open()
        #expect(machine.drain(.goingAway) == .goingAway)
        #expect(machine.received(.binary(self.request)) == .stop)
        var waiting = SessionStateMachine()
        #expect(waiting.drain(.goingAway) == .goingAway)
        #expect(waiting.received(.binary(ByteBuffer(hex: Self.authFrame))) == .stop)
        var validating = SessionStateMachine()
        _ = validating.received(.binary(ByteBuffer(hex: Self.authFrame)))
        #expect(validating.drain(.goingAway) == .goingAway)
        #expect(validating.authenticated(.success(.fixture())) == .stop)
    }

    @Test("OG1: draining lets what is in progress finish and begins nothing")
    func drainBusy() {
        var machine = self.open()
        _ = machine.received(.binary(self.request))
        _ = machine.received(.binary(self.request))
        #expect(machine.drain(.goingAway) == nil)
        #expect(machine.drain(.lifetimeReached) == nil)
        #expect(!machine.mayRead)
        #expect(machine.isDraining)
        #expect(machine.received(.binary(self.request)) == .stop)
        machine.refreshed(.fixture("user-2"))
        #expect(machine.principal == .fixture("user-2"))
        #expect(machine.finishedWork() == nil)
        #expect(machine.finishedWork() == .goingAway)
        #expect(!machine.isDraining)
        #expect(machine.drain(.goingAway) == nil)
    }
}
