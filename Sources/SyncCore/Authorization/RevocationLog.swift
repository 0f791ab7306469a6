import DequeModule
import SyncAuth
import SyncProtocol
import SyncStorage
import Synchronization

/// A moment in the order of the revocations that this process has seen.
struct RevocationMark: Hashable, Sendable {
    fileprivate let number: UInt64
}

/// What has been revoked in this process lately, so that nothing authorized just before a revocation takes effect after it.
///
/// A check of the store and the effect that it allows are two moments. Whoever checks takes a mark before; the effect takes
/// place under a lock that a revocation takes too, after comparing with the mark. The store remembers revocations for ever,
/// this log the last `entriesMax` of them: more during a single request make its outcome unknown.
package final class RevocationLog: Sendable {
    private struct Entry {
        let space: SpaceID
        let cid: String
    }

    private struct State {
        /// The last one has the number `next` − 1.
        var entries: Deque<Entry> = []
        var next: UInt64 = 0
        var leases: [ObjectIdentifier: AuthorityLease] = [:]
    }

    // Fixed after init.
    private let entriesMax: Int

    // Guarded by itself.
    private let state = Mutex(State())

    package init(entriesMax: Int = 1_024) { self.entriesMax = entriesMax }

    /// To be taken before the store is asked.
    var mark: RevocationMark { self.state.withLock { RevocationMark(number: $0.next) } }

    /// Why what was found out about `delegation` at `mark` is not true any more; `nil` when it still is.
    ///
    /// - Parameter delegation: `nil` stands for ever.
    func objection(to delegation: VerifiedDelegation?, since mark: RevocationMark) -> AuthorizationError? {
        self.state.withLock { self.objection(to: delegation, since: mark, in: $0) }
    }

    /// Lets an answer that takes its time be cut short by a revocation. To be ended.
    func lease(
        _ delegation: VerifiedDelegation, since mark: RevocationMark
    ) throws(AuthorizationError) -> AuthorityLease {
        try self.state.withLock { state throws(AuthorizationError) in
            if let objection = self.objection(to: delegation, since: mark, in: state) { throw objection }
            let lease = AuthorityLease(delegation)
            state.leases[ObjectIdentifier(lease)] = lease
            return lease
        }
    }

    func end(_ lease: AuthorityLease) {
        _ = self.state.withLock { $0.leases.removeValue(forKey: ObjectIdentifier(lease)) }
    }

    /// Leases that have not been ended.
    var leaseCount: Int { self.state.withLock { $0.leases.count } }

    /// From the return of this call on, no check with an older mark succeeds and no lease on the chain is good for anything.
    /// The store must know already.
    func append(_ cid: String, in space: SpaceID) {
        let cut = self.state.withLock { state in
            state.entries.append(Entry(space: space, cid: cid))
            state.next += 1
            if state.entries.count > self.entriesMax { state.entries.removeFirst() }
            return state.leases.values.filter { $0.delegation.rests(on: cid, in: space) }
        }
        for lease in cut { lease.cut() }
    }

    private func objection(
        to delegation: VerifiedDelegation?, since mark: RevocationMark, in state: State
    ) -> AuthorizationError? {
        guard let delegation, mark.number < state.next else { return nil }
        let recent = Int(clamping: state.next - mark.number)
        guard recent <= state.entries.count else { return .undecided(.unavailable) }
        let isRevoked = state.entries.suffix(recent).contains { delegation.rests(on: $0.cid, in: $0.space) }
        return isRevoked ? .refused(.delegation(.revoked)) : nil
    }
}

/// The right to go on with one answer, until it is revoked.
final class AuthorityLease: Sendable {
    // Fixed after init.
    let delegation: VerifiedDelegation

    // Guarded by itself: false once revoked.
    private let isGood = Mutex(true)

    fileprivate init(_ delegation: VerifiedDelegation) { self.delegation = delegation }

    /// Runs `body`, which must not wait, unless the chain has been revoked; a revocation returns before or after it.
    ///
    /// - Returns: False when `body` was not run.
    func perform(_ body: () -> Void) -> Bool {
        self.isGood.withLock { isGood in
            if isGood { body() }
            return isGood
        }
    }

    fileprivate func cut() { self.isGood.withLock { $0 = false } }
}

extension VerifiedDelegation {
    /// Whether revoking `cid` in `space` takes this away.
    func rests(on cid: String, in space: SpaceID) -> Bool { self.space == space && self.revocableCIDs.contains(cid) }
}
