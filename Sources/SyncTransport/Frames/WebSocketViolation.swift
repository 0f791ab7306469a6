package import SyncProtocol

/// How a peer broke RFC 6455 or a limit. The connection cannot go on.
package enum WebSocketViolation: Error, Hashable, Sendable {
    case protocolError(String)
    case invalidUTF8
    case messageTooBig

    /// What the peer is told (RFC 6455 §7.4.1; docs/contract/wire.md §10).
    package var closeFrame: CloseFrame {
        switch self {
        case .protocolError(let reason): CloseFrame(code: 1002, reason: reason)
        case .invalidUTF8: CloseFrame(code: 1007, reason: "invalid utf-8")
        case .messageTooBig: .messageTooBig
        }
    }
}

extension CloseFrame {
    /// Codes that may stand in a Close frame: those of RFC 6455 §7.4.1 and later registrations, and the ranges for
    /// libraries and applications. 1004, 1005, 1006 and 1015 never appear on the wire.
    static func isValidOnWire(_ code: UInt16) -> Bool {
        switch code {
        case 1000...1003, 1007...1014, 3000...4999: true
        default: false
        }
    }
}
