package import Crypto
import FoundationEssentials
package import NIOCore
package import SyncAuth
package import SyncProtocol

/// Keys and delegations of made-up people. A name is always the same key (docs/contract/auth.md §11.1): never use them
/// outside tests. What a test itself asks for wrongly traps: it is no input, and most callers could only pass the error on.
package enum TestDelegation {
    /// 2100-01-01T00:00:00Z in Unix seconds.
    package static let farFuture: UInt64 = 4_102_444_800

    /// The key of `name`; its private scalar is SHA-256 of `less-sync/test-key/` and the name.
    package static func privateKey(_ name: String) -> P256.Signing.PrivateKey {
        let scalar = SHA256.hash(data: Array("less-sync/test-key/\(name)".utf8))
        guard let key = try? P256.Signing.PrivateKey(rawRepresentation: scalar) else {
            preconditionFailure("The hash of \(name) is no P-256 scalar.")
        }
        return key
    }

    package static func signer(_ name: String) -> DelegationSigner {
        DelegationSigner(privateKey: Self.privateKey(name))
    }

    package static func did(_ name: String) -> String { Self.signer(name).did.text }

    /// 33 bytes, as `space.create` takes them.
    package static func rootKey(_ name: String = "root") -> ByteBuffer {
        ByteBuffer(bytes: Self.signer(name).did.compressed)
    }

    /// The text of a chain: the first name is the root key of the space, each one delegates to the next.
    ///
    /// `chain(["root", "alice", "bob"], .read, over: space)` lets bob read. At least two names; the same twice is allowed.
    package static func chain(
        _ names: [String], _ permission: Permission, over space: SpaceID, expiresAt: UInt64 = Self.farFuture
    ) -> String {
        var proof: String?
        for (issuer, audience) in zip(names, names.dropFirst()) {
            proof = Self.delegate(
                from: issuer, to: audience, permission, over: space, expiresAt: expiresAt, proof: proof)
        }
        guard let proof else { preconditionFailure("A chain has at least two names.") }
        return proof
    }

    /// One delegation on top of `proof`.
    package static func delegate(
        from issuer: String, to audience: String, _ permission: Permission, over space: SpaceID,
        expiresAt: UInt64 = Self.farFuture, proof: String? = nil
    ) -> String {
        let audience = Self.did(audience)
        guard
            let text = try? Self.signer(issuer).delegate(
                permission, over: space, to: audience, expiresAt: expiresAt, proof: proof)
        else { preconditionFailure("The proof is not a delegation.") }
        return text
    }

    /// What `membership.revoke` names: lower-case hexadecimal SHA-256 of the text of a token.
    package static func cid(of token: String) -> String { UnverifiedDelegation.cid(of: token) }
}
