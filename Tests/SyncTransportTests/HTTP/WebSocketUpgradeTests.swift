import NIOCore
import NIOEmbedded
import NIOHTTP1
import SyncProtocol
import Testing

@testable import SyncTransport

@Suite("WebSocket upgrade")
struct WebSocketUpgradeTests {
    /// A complete handshake with one change.
    private func request(
        _ method: HTTPMethod = .GET, version: HTTPVersion = .http1_1, protocols: String? = "less-rpc-v1",
        _ change: (inout HTTPHeaders) -> Void = { _ in }
    ) -> HTTPRequestHead {
        var headers: HTTPHeaders = [
            "Host": "localhost", "Connection": "keep-alive, Upgrade", "Upgrade": "WebSocket",
            "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        ]
        if let protocols { headers.add(name: "Sec-WebSocket-Protocol", value: protocols) }
        change(&headers)
        return HTTPRequestHead(version: version, method: method, uri: "/api/v1/ws", headers: headers)
    }

    private func outcome(
        _ request: HTTPRequestHead, _ conditions: WebSocketUpgradeConditions = .init()
    ) -> WebSocketUpgradeOutcome { WebSocketUpgrade.evaluate(request, conditions) }

    static let selections: [(offered: String?, selected: ProtocolFamily?)] = [
        ("wrong-protocol", nil), (nil, nil), ("less-rpc-v1", .less), ("betterbase-rpc-v1", .betterbase),
        ("foo, betterbase-rpc-v1", .betterbase), ("less-rpc-v1, betterbase-rpc-v1", .less),
        ("betterbase-rpc-v1,less-rpc-v1", .betterbase), ("Less-RPC-v1", nil), ("\t less-rpc-v1 \t", .less), ("", nil),
        (",,less-rpc-v1", .less), ("less-rpc-v1\u{E9}", nil), ("less-rpc-v1, caf\u{E9}", nil), ("less-rpc-v10", nil),
    ]

    @Test("W-01…W-06: the first supported subprotocol in the client's order", arguments: selections)
    func selection(offered: String?, selected: ProtocolFamily?) {
        #expect(outcome(request(protocols: offered)) == selected.map { .accept($0) } ?? .noSubprotocol)
    }

    @Test("only the first Sec-WebSocket-Protocol header counts")
    func secondHeader() {
        let request = request(protocols: "foo") { $0.add(name: "Sec-WebSocket-Protocol", value: "less-rpc-v1") }
        #expect(outcome(request) == .noSubprotocol)
    }

    @Test("a body of no bytes is none")
    func emptyBody() {
        #expect(outcome(request { $0.add(name: "Content-Length", value: "0") }) == .accept(.less))
    }

    @Test("W-07: a family that is not served is not selected")
    func disabledFamily() {
        let conditions = WebSocketUpgradeConditions(families: [.less])
        #expect(outcome(request(protocols: "betterbase-rpc-v1"), conditions) == .noSubprotocol)
        #expect(outcome(request(protocols: "betterbase-rpc-v1, less-rpc-v1"), conditions) == .accept(.less))
    }

    @Test("HW4: what is not a handshake")
    func notAHandshake() {
        let faults: [(inout HTTPHeaders) -> Void] = [
            { $0.remove(name: "Connection") }, { $0.replaceOrAdd(name: "Connection", value: "keep-alive") },
            { $0.remove(name: "Upgrade") }, { $0.replaceOrAdd(name: "Upgrade", value: "h2c") },
            { $0.remove(name: "Sec-WebSocket-Version") },
            { $0.replaceOrAdd(name: "Sec-WebSocket-Version", value: "8") },
            { $0.remove(name: "Sec-WebSocket-Key") }, { $0.replaceOrAdd(name: "Sec-WebSocket-Key", value: "") },
            { $0.add(name: "Sec-WebSocket-Key", value: "dGhlIHNhbXBsZSBub25jZQ==") },
            { $0.add(name: "Transfer-Encoding", value: "chunked") }, { $0.add(name: "Content-Length", value: "1") },
        ]
        for fault in faults {
            guard case .notAHandshake = outcome(self.request(.GET, fault)) else {
                Issue.record("accepted a faulty handshake")
                continue
            }
        }
    }

    @Test("conditions are judged in the order of the contract")
    func order() {
        let nothing = WebSocketUpgradeConditions(hasTokenValidator: false, isServed: false, isShuttingDown: true)
        #expect(outcome(request(.POST), nothing) == .methodNotAllowed)
        #expect(outcome(request(version: .http1_0), nothing) == .cannotUpgrade)
        #expect(outcome(request(protocols: nil), nothing) == .noSubprotocol)
        #expect(outcome(request(), nothing) == .notConfigured)
        #expect(outcome(request(), .init(isServed: false, isShuttingDown: true)) == .federationOff)
        #expect(outcome(request(), .init(isShuttingDown: true)) == .shuttingDown)
    }

    @Test("the accept key of RFC 6455 §1.3")
    func acceptKey() throws {
        let channel = EmbeddedChannel()
        let headers = try WebSocketUpgrade.responseHeaders(to: request(), subprotocol: "less-rpc-v1", on: channel)
            .wait()
        #expect(headers["sec-websocket-accept"] == ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="])
        #expect(headers["sec-websocket-protocol"] == ["less-rpc-v1"])
        #expect(headers["upgrade"] == ["websocket"])
        #expect(headers["connection"] == ["Upgrade"])
        _ = try channel.finish()
    }
}
