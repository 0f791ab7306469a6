import SyncAuth
import Synchronization

/// Chains that have been verified, by the name of their leaf: the signatures of a chain cost far more than a look-up.
///
/// Holds facts about a text that never change. Whether a token has been revoked is no such fact; it is asked for every
/// request, found here or not. Bounded: two generations of equal size, of which the older is dropped when the younger is
/// full, so that what is used survives.
final class DelegationCache: Sendable {
    private struct State {
        var younger: [String: VerifiedDelegation] = [:]
        var older: [String: VerifiedDelegation] = [:]
    }

    // Fixed after init.
    private let generationMax: Int

    // Guarded by itself.
    private let state = Mutex(State())

    /// - Parameter countMax: Chains kept at most; one takes about a kilobyte.
    init(countMax: Int = 8_192) { self.generationMax = max(1, countMax / 2) }

    var count: Int { self.state.withLock { $0.younger.count + $0.older.count } }

    /// - Parameters:
    ///   - cid: Of the leaf.
    ///   - now: Unix seconds. A chain that has expired is dropped.
    func delegation(_ cid: String, at now: UInt64) -> VerifiedDelegation? {
        self.state.withLock { state in
            guard let found = state.younger[cid] ?? state.older.removeValue(forKey: cid) else { return nil }
            guard now <= found.expiresAt else {
                state.younger[cid] = nil
                return nil
            }
            self.insert(found, cid, into: &state)
            return found
        }
    }

    func insert(_ delegation: VerifiedDelegation) {
        guard let cid = delegation.cids.first else { return }
        self.state.withLock { state in
            state.older[cid] = nil
            self.insert(delegation, cid, into: &state)
        }
    }

    private func insert(_ delegation: VerifiedDelegation, _ cid: String, into state: inout State) {
        if state.younger[cid] == nil, state.younger.count >= self.generationMax {
            state.older = state.younger
            state.younger = [:]
        }
        state.younger[cid] = delegation
    }
}
