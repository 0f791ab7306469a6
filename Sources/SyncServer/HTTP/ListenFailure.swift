import Glibc
import NIOCore

/// An address that cannot be listened on.
package struct ListenFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// The setting that names it.
    package let variable: String
    package let address: ListenAddress
    package let reason: String

    init(_ variable: String, _ address: ListenAddress, _ cause: any Error) {
        self.variable = variable
        self.address = address
        self.reason = (cause as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(cause)"
    }

    package var description: String { "cannot listen on \(self.address) (\(self.variable)): \(self.reason)" }
}
