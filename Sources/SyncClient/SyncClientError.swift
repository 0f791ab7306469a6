public import SyncProtocol

/// Why a call of `SyncClient` did not give a result. What the server did with the request is known for `.refused` alone.
public enum SyncClientError: Error, Hashable, Sendable {
    /// No connection could be made; `detail` is for people.
    case unreachable(detail: String)
    /// The connection has ended, for the reason that the server gave if it gave one.
    case disconnected(CloseFrame?)
    /// Nothing came for `SyncClient.Configuration.requestTimeout`.
    case timedOut
    /// The task that called was cancelled.
    case cancelled
    /// The server answered with an error.
    case refused(code: String, message: String)
    /// The server broke the protocol: an undecodable frame, or a pull whose counts do not add up.
    case protocolViolation(String)
}

extension SyncClientError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .unreachable(let detail): "cannot connect: \(detail)"
        case .disconnected(let frame?): "disconnected: \(frame.code) \(frame.reason)"
        case .disconnected(nil): "disconnected"
        case .timedOut: "no answer in time"
        case .cancelled: "cancelled"
        case .refused(let code, let message): "refused: \(code) (\(message))"
        case .protocolViolation(let detail): "protocol violation: \(detail)"
        }
    }
}
