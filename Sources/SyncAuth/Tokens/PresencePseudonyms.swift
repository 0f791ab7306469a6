import Crypto
import FoundationEssentials
package import SyncProtocol

/// Names connections towards the other subscribers of a space (docs/contract/rpc.md §12.4): stable for one connection in one
/// space, unlinkable across spaces, reconnects and restarts.
package struct PresencePseudonyms: Sendable {
    private let secret: SymmetricKey

    /// - Parameter secret: drawn at process start; anything but random bytes is for vectors.
    package init(secret: [UInt8]) { self.secret = SymmetricKey(data: secret) }

    /// With a secret of 32 random bytes.
    package init() { self.secret = SymmetricKey(size: .bits256) }

    /// 32 lower-case hex characters.
    package func peer(_ connection: ConnectionID, in space: SpaceID) -> String {
        let message = Array(connection.wireText.utf8) + [0] + Array(space.wireText.utf8)
        return Hex.encode(HMAC<SHA256>.authenticationCode(for: message, using: self.secret).prefix(16))
    }
}
