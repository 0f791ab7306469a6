import SyncAuth
import SyncProtocol
import SyncTesting

extension VerifiedDelegation {
    /// What the root key of `TestDelegation` lets the last of these people do, over the others.
    static func fixture(
        _ people: String..., permission: Permission = .read, over space: SpaceID,
        expiresAt: UInt64 = TestDelegation.farFuture
    ) throws -> VerifiedDelegation {
        let text = TestDelegation.chain(["root"] + people, permission, over: space, expiresAt: expiresAt)
        let requirement = DelegationRequirement(
            audience: TestDelegation.did(people.last ?? "root"), permission: permission, space: space,
            rootKey: TestDelegation.signer("root").did.compressed)
        return try UnverifiedDelegation(parsing: text).verify(requirement, at: 0)
    }
}
