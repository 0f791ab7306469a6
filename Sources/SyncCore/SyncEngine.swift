package import Logging
package import SyncAuth
package import SyncProtocol
package import SyncStorage

/// What an operator may change about sessions. Defaults are the contract's (docs/contract/operations.md §2.4).
package struct EngineConfiguration: Sendable {
    package var authTimeout: Duration = Limits.authTimeout
    package var connectionLifetime: Duration = Limits.connectionLifetime
    /// Connections of one mailbox key; `nil` lifts the limit (performance mode).
    package var connectionsPerMailboxMax: Int? = 16
    /// Bytes of one record blob.
    package var recordBlobBytesMax: Int = Limits.recordBlobBytesMax
    /// Closes a socket with 4001 `token expired` 60 s after its token's `exp` unless refreshed (architecture C30).
    package var enforcesTokenExpiry = false

    package init() {}
}

/// Everything between a WebSocket and the storage: one value serves all connections of a process.
package final class SyncEngine: Sendable {
    package init(
        configuration: EngineConfiguration,
        storage: any Storage,
        tokens: any TokenValidator,
        clock: any Clock<Duration>,
        logger: Logger
    ) {
        fatalError("seam")
    }

    /// Runs one client connection from the handshake to its end (docs/contract/wire.md §3). Returns when it is gone.
    ///
    /// - Parameter onAuthenticated: called once, when the token has been accepted: the connection stops counting as
    ///   unauthenticated.
    package func serve(
        _ connection: any FrameConnection, family: ProtocolFamily,
        onAuthenticated: @escaping @Sendable () -> Void = {}
    ) async {
        fatalError("seam")
    }

    /// Lets requests in progress finish within `grace`, then closes every connection with 1001 `server shutting down`
    /// (docs/contract/operations.md §6). Returns when all have ended or `closeWait` has passed. Connections that are
    /// handed to `serve` afterwards are closed with 1001 at once.
    package func shutDown(grace: Duration, closeWait: Duration) async {
        fatalError("seam")
    }
}
