import SyncProtocol
import Testing

@testable import SyncTransport

@Suite("Close handshake")
struct CloseHandshakeTests {
    private static let normal = CloseFrame(code: 1000, reason: "client close")

    @Test("C18: the peer closes first, our Close follows, then our direction is shut down")
    func peerFirst() {
        var server = CloseHandshake(role: .server)
        #expect(server.receivedClose(Self.normal) == .awaitAnswer)
        #expect(server.beginClosing() == true)
        #expect(server.farewell(for: .echo) == .frame(CloseFrame(code: 1000, reason: "")))
        #expect(server.sentFarewell() == .shutDownOutput)
        #expect(server.receivedEnd() == .closeSocket)
    }

    @Test("a Close without code is echoed without code")
    func emptyEcho() {
        var server = CloseHandshake(role: .server)
        _ = server.receivedClose(nil)
        #expect(server.farewell(for: .echo) == .empty)
    }

    @Test("we close first and wait for the peer's Close")
    func localFirst() {
        var server = CloseHandshake(role: .server)
        #expect(server.beginClosing() == true)
        #expect(server.beginClosing() == false)
        #expect(server.farewell(for: .frame(.slowConsumer)) == .frame(.slowConsumer))
        #expect(server.sentFarewell() == .awaitPeerClose)
        #expect(server.receivedClose(Self.normal) == .shutDownOutput)
        #expect(server.receivedClose(Self.normal) == .none)
        #expect(server.receivedEnd() == .closeSocket)
    }

    @Test("the peer's Close comes while our queue drains")
    func crossing() {
        var server = CloseHandshake(role: .server)
        #expect(server.beginClosing() == true)
        #expect(server.receivedClose(Self.normal) == .none)
        #expect(server.sentFarewell() == .shutDownOutput)
    }

    @Test("a client leaves the first end of stream to the server")
    func client() {
        var client = CloseHandshake(role: .client)
        #expect(client.beginClosing() == true)
        #expect(client.sentFarewell() == .awaitPeerClose)
        #expect(client.receivedClose(Self.normal) == .awaitEnd)
        #expect(client.receivedEnd() == .closeSocket)
    }

    @Test("end of stream without Close: no echo, the session's own Close is still sent")
    func endOfStream() {
        var echoing = CloseHandshake(role: .server)
        #expect(echoing.receivedEnd() == .awaitAnswer)
        #expect(echoing.beginClosing() == true)
        #expect(echoing.farewell(for: .echo) == nil)
        #expect(echoing.finishWithoutFarewell() == .closeSocket)
        var answering = CloseHandshake(role: .server)
        _ = answering.receivedEnd()
        #expect(answering.beginClosing() == true)
        #expect(answering.farewell(for: .frame(Self.normal)) == .frame(Self.normal))
        #expect(answering.sentFarewell() == .closeSocket)
    }

    @Test("after a violation our direction ends at once and input is dropped")
    func violation() {
        var server = CloseHandshake(role: .server)
        #expect(server.violated() == .none)
        #expect(server.input == .discarding)
        #expect(server.beginClosing() == true)
        #expect(server.sentFarewell() == .shutDownOutput)
        #expect(server.violated() == .none)
        var late = CloseHandshake(role: .server)
        _ = late.beginClosing()
        _ = late.sentFarewell()
        #expect(late.violated() == .shutDownOutput)
    }

    @Test("ending without a Close frame")
    func withoutFarewell() {
        var server = CloseHandshake(role: .server)
        #expect(server.finishWithoutFarewell() == .none)
        #expect(server.sentFarewell() == .none)
        #expect(server.beginClosing() == true)
        #expect(server.finishWithoutFarewell() == .shutDownOutput)
        #expect(server.receivedEnd() == .closeSocket)
    }

    @Test("end of stream after the peer's Close asks for nothing while the answer is awaited")
    func endAfterClose() {
        var server = CloseHandshake(role: .server)
        _ = server.receivedClose(nil)
        #expect(server.receivedEnd() == .none)
        #expect(server.beginClosing() == true)
        #expect(server.sentFarewell() == .closeSocket)
    }
}
