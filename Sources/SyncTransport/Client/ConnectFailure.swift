import NIOCore
import NIOPosix
import NIOSSL

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Why there is no connection to another machine, in a few words for a person.
package struct ConnectFailure: Hashable, Sendable {
    /// Such as `connection refused`.
    package let reason: String

    /// `nil` for an error that is not about the network.
    package init?(_ error: any Error) {
        switch error {
        case let error as IOError: self.reason = Self.text(of: error.errnoCode)
        case let error as NIOConnectionError:
            // One for each address of the host; the first is as good as any.
            guard let first = error.connectionErrors.first?.error else {
                self.reason = "cannot look up \"\(error.host)\""
                return
            }
            self.reason = Self(first)?.reason ?? "cannot connect"
        case ChannelError.connectTimeout: self.reason = "timed out"
        case is ChannelError: self.reason = "connection closed"
        case is NIOSSLError, is BoringSSLError, is NIOSSLExtraError: self.reason = "TLS handshake failed"
        default: return nil
        }
    }

    private static func text(of code: CInt) -> String {
        switch code {
        case ECONNREFUSED: "connection refused"
        case ECONNRESET: "connection reset"
        case ETIMEDOUT: "timed out"
        default: String(cString: strerror(code)).lowercased()
        }
    }
}
