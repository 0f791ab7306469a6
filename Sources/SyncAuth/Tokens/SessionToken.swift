import Crypto
import FoundationEssentials
package import SyncProtocol

/// A token of 58 bytes that stands for a checked permission on one space (docs/contract/auth.md §7). No endpoint takes one.
package struct SessionToken: Hashable, Sendable {
    package let space: SpaceID
    package let permission: Permission
    /// Unix seconds.
    package let expiresAt: UInt64

    package enum Failure: Error, Hashable, Sendable {
        /// The HMAC key has this many bytes instead of 32.
        case invalidKeyLength(Int)
        case invalidSession
        case expired
        /// The authentic token carries an unknown permission byte.
        case invalidPermission(UInt8)
    }

    package init(space: SpaceID, permission: Permission, expiresAt: UInt64) {
        self.space = space
        self.permission = permission
        self.expiresAt = expiresAt
    }
}

extension SessionToken.Failure: CustomStringConvertible {
    package var description: String {
        switch self {
        case .invalidKeyLength(let count): "session HMAC key must be 32 bytes, got \(count)"
        case .invalidSession: "invalid session token"
        case .expired: "session token expired"
        case .invalidPermission(let value): "invalid session permission: unknown permission value \(value)"
        }
    }
}

/// Issues and validates session tokens under one key.
package struct SessionTokenCodec: Sendable {
    private static let version: UInt8 = 1
    /// Version, expiry, permission, nonce.
    private static let headBytes = 1 + 8 + 1 + 16
    private static let tokenBytes = Self.headBytes + SHA256.byteCount

    private let key: SymmetricKey

    /// - Parameter key: 32 bytes.
    package init(key: [UInt8]) throws(SessionToken.Failure) {
        guard key.count == 32 else { throw .invalidKeyLength(key.count) }
        self.key = SymmetricKey(data: key)
    }

    /// - Parameter nonce: 16 bytes; others than random ones are for vectors.
    package func issue(_ token: SessionToken, nonce: [UInt8] = Self.randomNonce()) -> [UInt8] {
        precondition(nonce.count == 16, "A session token has a nonce of 16 bytes.")
        let expiry = stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: token.expiresAt >> $0) }
        let head = [Self.version] + expiry + [token.permission.rawValue] + nonce
        return head + Array(self.code(head, token.space))
    }

    /// - Parameter now: Seconds since 1970, with fraction: a token is valid up to its very second and not a moment longer.
    package func validate(
        _ bytes: [UInt8], for space: SpaceID, at now: Double
    ) throws(SessionToken.Failure) -> SessionToken {
        guard bytes.count == Self.tokenBytes, bytes[0] == Self.version else { throw .invalidSession }
        let head = bytes[..<Self.headBytes]
        let code = Array(bytes[Self.headBytes...])
        guard
            HMAC<SHA256>.isValidAuthenticationCode(
                code, authenticating: Self.message(head, space), using: self.key)
        else { throw .invalidSession }
        let expiresAt = head[1..<9].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard expiresAt <= UInt64(Int64.max) else { throw .invalidSession }
        guard now <= Double(expiresAt) else { throw .expired }
        guard let permission = Permission(rawValue: head[9]) else { throw .invalidPermission(head[9]) }
        return SessionToken(space: space, permission: permission, expiresAt: expiresAt)
    }

    package static func randomNonce() -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<16).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    }

    private func code(_ head: some Collection<UInt8>, _ space: SpaceID) -> HMAC<SHA256>.MAC {
        HMAC<SHA256>.authenticationCode(for: Self.message(head, space), using: self.key)
    }

    private static func message(_ head: some Collection<UInt8>, _ space: SpaceID) -> [UInt8] {
        Array(head) + Array(space.wireText.utf8)
    }
}
