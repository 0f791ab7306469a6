/// Why a transfer of a file did not give a result.
public enum FileTransferError: Error, Hashable, Sendable {
    /// No connection, or one that was lost; `detail` is for people. What the server did is not known: trying again is safe.
    case unreachable(detail: String)
    /// The server refused, with this status and sentence.
    case refused(status: Int, message: String)
    /// The server broke the protocol.
    case protocolViolation(String)

    /// Whether trying again may help.
    var isTemporary: Bool {
        switch self {
        case .unreachable: true
        case .refused(let status, _): status >= 500 || status == 408 || status == 429
        case .protocolViolation: false
        }
    }
}

extension FileTransferError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .unreachable(let detail): "no answer: \(detail)"
        case .refused(let status, let message): "refused: \(status) \(message)"
        case .protocolViolation(let detail): "protocol violation: \(detail)"
        }
    }
}
