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

    /// The same token with the other form of its signature, `(r, n − s)`: as valid, without the key.
    package static func twin(of token: String) -> String {
        let order: [UInt64] = [0xFFFF_FFFF_0000_0000, .max, 0xBCE6_FAAD_A717_9E84, 0xF3B9_CAC2_FC63_2551]
        guard let dot = token.lastIndex(of: "."), var signature = Base64URL.decode(String(token[dot...].dropFirst())),
            signature.count == 64
        else { preconditionFailure("A token ends with a signature of 64 bytes.") }
        var borrow: UInt64 = 0
        for limb in (0..<4).reversed() {
            let start = 32 + limb * 8
            let value = signature[start..<start + 8].reduce(0) { $0 << 8 | UInt64($1) }
            let (first, isShort) = order[limb].subtractingReportingOverflow(value)
            let (difference, isShorter) = first.subtractingReportingOverflow(borrow)
            borrow = isShort || isShorter ? 1 : 0
            for index in 0..<8 { signature[start + index] = UInt8(truncatingIfNeeded: difference >> (56 - 8 * index)) }
        }
        return token[...dot] + Base64URL.encode(signature)
    }

    /// What `membership.revoke` names: lower-case hexadecimal SHA-256 of the text of a token.
    package static func cid(of token: String) -> String { UnverifiedDelegation.cid(of: token) }
}
