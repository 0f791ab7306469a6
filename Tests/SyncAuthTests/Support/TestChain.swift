import Foundation
import SyncAuth
import SyncProtocol
import SyncTesting
import Testing

/// A chain of delegations as a list of claim sets, root first. Starts valid; tests change one fact and mint it.
struct TestChain {
    static let now = TokenVectors.now
    static let space = SpaceID(wireText: "6dfe56d8-7987-439f-b044-ea19e633ef46")!

    struct Link {
        /// Name of the key that signs.
        var signer: String
        var header: [String: Any] = ["alg": "ES256", "typ": "JWT"]
        /// Everything but `prf`.
        var claims: [String: Any]
        /// Instead of the link before it.
        var proofs: Any?
    }

    var links: [Link]

    /// One link from each name to the next, all with the same permission.
    init(_ names: [String], _ permission: Permission = .read, over space: SpaceID = Self.space) {
        self.links = zip(names, names.dropFirst()).enumerated().map { index, pair in
            Link(
                signer: pair.0,
                claims: [
                    "iss": TestDelegation.did(pair.0), "aud": [TestDelegation.did(pair.1)],
                    "cmd": permission.command, "with": DelegationRequirement.resource(of: space),
                    "nonce": "nonce-\(index)", "exp": Self.now + 3_600,
                ])
        }
    }

    subscript(index: Int) -> Link {
        get { self.links[index] }
        set { self.links[index] = newValue }
    }

    /// The text of the chain.
    func mint() throws -> String {
        var parent: String?
        for link in self.links {
            var claims = link.claims
            claims["prf"] = link.proofs ?? parent.map { [$0] } ?? []
            parent = try Self.sign(link, claims)
        }
        return try #require(parent)
    }

    private static func sign(_ link: Link, _ claims: [String: Any]) throws -> String {
        let options: JSONSerialization.WritingOptions = [.sortedKeys, .withoutEscapingSlashes]
        return try TestDelegation.signer(link.signer).sign(
            header: JSONSerialization.data(withJSONObject: link.header, options: options),
            payload: JSONSerialization.data(withJSONObject: claims, options: options))
    }

    /// Mints, parses and verifies.
    @discardableResult
    func verify(
        for audience: String, _ permission: Permission = .read, root: String = "root", at now: UInt64 = Self.now
    ) throws -> VerifiedDelegation {
        try verifyDelegation(try self.mint(), for: audience, permission, root: root, at: now)
    }
}

extension DelegationRequirement {
    /// For people by name.
    init(
        _ audience: String, _ permission: Permission = .read, over space: SpaceID = TestChain.space,
        root: String = "root"
    ) {
        self.init(
            audience: TestDelegation.did(audience), permission: permission, space: space,
            rootKey: TestDelegation.signer(root).did.compressed)
    }
}

@discardableResult
func verifyDelegation(
    _ text: String, for audience: String, _ permission: Permission = .read, over space: SpaceID = TestChain.space,
    root: String = "root", at now: UInt64 = TestChain.now
) throws -> VerifiedDelegation {
    try UnverifiedDelegation(parsing: text).verify(
        DelegationRequirement(audience, permission, over: space, root: root), at: now)
}
