import SyncProtocol
import SyncTransport

extension SyncClient {
    /// Connects and sends the token. A token that the server refuses ends the connection: the first call then fails with
    /// `.disconnected` and the reason.
    ///
    /// - Parameter url: `ws`, `wss`, `http` or `https`, with the path of the endpoint, for example
    ///   `http://127.0.0.1:5379/api/v1/ws`.
    public static func connect(
        to url: String, token: String, _ configuration: Configuration = Configuration()
    ) async throws(SyncClientError) -> SyncClient {
        let options = WebSocketClient.Options(subprotocols: [configuration.family.subprotocol])
        let connection: WebSocketConnection
        do { connection = try await WebSocketClient.connect(to: url, options) } catch {
            throw .unreachable(detail: String(describing: error))
        }
        return SyncClient(over: connection, token: token, configuration)
    }
}
