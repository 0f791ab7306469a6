package import NIOCore
package import NIOHTTP1
import NIOWebSocket
package import SyncProtocol

/// What a request for a WebSocket path gets (docs/contract/http.md §7, docs/contract/wire.md §2.2).
package enum WebSocketUpgradeOutcome: Hashable, Sendable {
    case accept(ProtocolFamily)
    /// 405.
    case methodNotAllowed
    /// 400 with a sentence for a human.
    case notAHandshake(String)
    /// 426: HTTP/1.0 cannot be upgraded.
    case cannotUpgrade
    /// 400, empty: no supported subprotocol was offered.
    case noSubprotocol
    /// 501, empty: no token validator is configured.
    case notConfigured
    /// 404, empty: federation is off.
    case federationOff
    /// 503: the server is shutting down.
    case shuttingDown
}

/// The server's state as far as an upgrade depends on it.
package struct WebSocketUpgradeConditions: Sendable {
    /// Families that are served, never empty.
    package var families: [ProtocolFamily]
    package var hasTokenValidator: Bool
    /// `false` on the federation path while federation is not configured.
    package var isServed: Bool
    package var isShuttingDown: Bool

    package init(
        families: [ProtocolFamily] = ProtocolFamily.allCases, hasTokenValidator: Bool = true, isServed: Bool = true,
        isShuttingDown: Bool = false
    ) {
        self.families = families
        self.hasTokenValidator = hasTokenValidator
        self.isServed = isServed
        self.isShuttingDown = isShuttingDown
    }
}

package enum WebSocketUpgrade {
    /// Judges a request; the first condition that applies decides.
    package static func evaluate(
        _ request: HTTPRequestHead, _ conditions: WebSocketUpgradeConditions
    ) -> WebSocketUpgradeOutcome {
        guard request.method == .GET else { return .methodNotAllowed }
        if let fault = self.handshakeFault(request.headers) { return .notAHandshake(fault) }
        guard request.version.major == 1, request.version.minor >= 1 else { return .cannotUpgrade }
        guard let family = self.selectFamily(request.headers, from: conditions.families) else { return .noSubprotocol }
        guard conditions.hasTokenValidator else { return .notConfigured }
        guard conditions.isServed else { return .federationOff }
        guard !conditions.isShuttingDown else { return .shuttingDown }
        return .accept(family)
    }

    /// What a handshake lacks (RFC 6455 §4.2.1), or `nil` when it is complete.
    package static func handshakeFault(_ headers: HTTPHeaders) -> String? {
        guard self.isUpgrade(headers) else { return "expected a WebSocket upgrade" }
        guard headers["sec-websocket-version"] == ["13"] else { return "expected Sec-WebSocket-Version 13" }
        let keys = headers["sec-websocket-key"]
        guard keys.count == 1, keys.first?.isEmpty == false else { return "expected one Sec-WebSocket-Key" }
        guard self.hasNoBody(headers) else { return "expected no body" }
        return nil
    }

    /// What waits for the end of its body holds the place of a socket that could authenticate, without the limit in time.
    private static func hasNoBody(_ headers: HTTPHeaders) -> Bool {
        !headers.contains(name: "transfer-encoding") && headers["content-length"].allSatisfy { $0 == "0" }
    }

    private static func isUpgrade(_ headers: HTTPHeaders) -> Bool {
        headers[canonicalForm: "connection"].contains { $0.lowercased() == "upgrade" }
            && headers[canonicalForm: "upgrade"].contains { $0.lowercased() == "websocket" }
    }

    /// The first supported subprotocol in the client's order (docs/contract/wire.md §2.1). Only the first
    /// `Sec-WebSocket-Protocol` header counts, it must be ASCII, and case matters.
    package static func selectFamily(_ headers: HTTPHeaders, from families: [ProtocolFamily]) -> ProtocolFamily? {
        guard let offered = headers.first(name: "sec-websocket-protocol"), offered.utf8.allSatisfy({ $0 < 0x80 }) else {
            return nil
        }
        for element in offered.split(separator: ",") {
            let name = element.trimmed
            if let family = families.first(where: { $0.subprotocol == name }) { return family }
        }
        return nil
    }

    /// Headers of the 101 response, `Sec-WebSocket-Accept` among them.
    ///
    /// - Returns: a future that is complete already, as the calculation waits for nothing.
    package static func responseHeaders(
        to request: HTTPRequestHead, subprotocol: String?, on channel: any Channel
    ) -> EventLoopFuture<HTTPHeaders> {
        let upgrader = NIOWebSocketServerUpgrader(
            shouldUpgrade: { channel, _ in channel.eventLoop.makeSucceededFuture([:]) },
            upgradePipelineHandler: { channel, _ in channel.eventLoop.makeSucceededVoidFuture() })
        return upgrader.buildUpgradeResponse(
            channel: channel, upgradeRequest: request, initialResponseHeaders: [:]
        ).map { headers in
            var headers = headers
            headers.replaceOrAdd(name: "Connection", value: "Upgrade")
            headers.replaceOrAdd(name: "Upgrade", value: "websocket")
            if let subprotocol { headers.add(name: "Sec-WebSocket-Protocol", value: subprotocol) }
            return headers
        }
    }
}

extension Substring {
    /// Without the white space that HTTP allows around list elements.
    fileprivate var trimmed: Substring {
        var text = self
        while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return text
    }
}
