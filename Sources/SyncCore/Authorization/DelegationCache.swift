import SyncAuth
import Synchronization

/// Chains that have been verified, by the name of their leaf: the signatures of a chain cost far more than a look-up.
///
/// Holds facts about a text that never change. Whether a token has been revoked is no such fact; it is asked for every
/// request, found here or not. Bounded, as `RecentlyUsed` is.
final class DelegationCache: Sendable {
    // Guarded by itself.
    private let delegations: Mutex<RecentlyUsed<String, VerifiedDelegation>>

    /// - Parameter countMax: Chains kept at most; one takes about a kilobyte.
    init(countMax: Int = 8_192) { self.delegations = Mutex(RecentlyUsed(countMax: countMax)) }

    var count: Int { self.delegations.withLock { $0.count } }

    /// - Parameters:
    ///   - cid: Of the leaf.
    ///   - now: Unix seconds. A chain that has expired is dropped.
    func delegation(_ cid: String, at now: UInt64) -> VerifiedDelegation? {
        self.delegations.withLock { delegations in
            guard let found = delegations.value(for: cid) else { return nil }
            guard now <= found.expiresAt else {
                delegations.remove(cid)
                return nil
            }
            return found
        }
    }

    func insert(_ delegation: VerifiedDelegation) {
        guard let cid = delegation.cids.first else { return }
        self.delegations.withLock { $0.insert(delegation, for: cid) }
    }
}
