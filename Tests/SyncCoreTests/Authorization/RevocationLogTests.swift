import SyncAuth
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncCore

@Suite("Revocation log")
struct RevocationLogTests {
    private let space = SpaceID.random()

    @Test("C3: what is revoked after the mark is objected to, what was revoked before is the store's business")
    func objection() throws {
        let log = RevocationLog()
        let chain = try VerifiedDelegation.fixture("alice", "bob", over: self.space)
        let before = log.mark
        for cid in chain.cids {
            log.append("other", in: self.space)
            log.append(cid, in: .random())
            #expect(log.objection(to: chain, since: log.mark) == nil)
            let mark = log.mark
            log.append(cid, in: self.space)
            log.append("another", in: self.space)
            #expect(log.objection(to: chain, since: mark) == .refused(.delegation(.revoked)))
            #expect(log.objection(to: chain, since: before) == .refused(.delegation(.revoked)))
            #expect(log.objection(to: nil, since: before) == nil)
            #expect(log.objection(to: chain, since: log.mark) == nil)
        }
    }

    @Test("C9: more revocations than are remembered leave it undecided, not refused")
    func overflow() throws {
        let log = RevocationLog(entriesMax: 3)
        let chain = try VerifiedDelegation.fixture("bob", over: self.space)
        let mark = log.mark
        for _ in 0..<3 { log.append("other", in: self.space) }
        #expect(log.objection(to: chain, since: mark) == nil)
        log.append("other", in: self.space)
        #expect(log.objection(to: chain, since: mark) == .undecided(.unavailable))
        #expect(log.objection(to: nil, since: mark) == nil)
        #expect(throws: AuthorizationError.undecided(.unavailable)) { try log.lease(chain, since: mark) }
    }

    @Test("A lease is good until its chain is revoked, and kept no longer than it is used")
    func leases() throws {
        let log = RevocationLog()
        let bob = try VerifiedDelegation.fixture("alice", "bob", over: self.space)
        let carol = try VerifiedDelegation.fixture("carol", over: self.space)
        let mark = log.mark
        let leases = try [bob, carol].map { try log.lease($0, since: mark) }
        var performed = 0
        func perform(_ lease: AuthorityLease) -> Bool { lease.perform { performed += 1 } }
        for lease in leases { #expect(perform(lease)) }
        #expect(performed == 2)
        log.append(bob.cids[1], in: self.space)
        #expect(!perform(leases[0]))
        #expect(perform(leases[1]))
        #expect(performed == 3)
        #expect(throws: AuthorizationError.refused(.delegation(.revoked))) { try log.lease(bob, since: mark) }
        for lease in leases { log.end(lease) }
        #expect(log.leaseCount == 0)
    }
}
