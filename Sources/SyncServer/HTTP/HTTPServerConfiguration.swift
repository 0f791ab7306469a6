package import SyncProtocol
package import SyncTransport

/// What the HTTP side of a server is told.
package struct HTTPServerConfiguration: Sendable {
    /// `LISTEN_ADDR`.
    package var address: ListenAddress
    /// Families whose subprotocol may be selected; both, always, but in tests (architecture A9).
    package var families = ProtocolFamily.allCases
    /// `MAX_CONNECTIONS`: WebSockets in all; a further upgrade is answered 503.
    package var connectionsMax = 20_000
    /// `MAX_UNAUTHENTICATED_CONNECTIONS`: WebSockets whose token has not been accepted yet.
    package var unauthenticatedConnectionsMax = 1_000
    /// Time that `/health` gives the database (docs/contract/http.md §4).
    package var healthTimeout: Duration = .seconds(5)
    package var timeouts = HTTPTimeouts()
    package var webSocket = WebSocketConfiguration.server

    package init(address: ListenAddress) { self.address = address }

    /// TCP connections in all: there has to be room for plain requests beside the WebSockets. At the limit the server stops
    /// accepting; what waits then is bounded by the kernel's backlog.
    var tcpConnectionsMax: Int { self.connectionsMax + 2_048 }
}
