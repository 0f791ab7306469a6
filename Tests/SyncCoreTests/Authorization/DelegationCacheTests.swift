import SyncAuth
import SyncProtocol
import SyncTesting
import Testing

@testable import SyncCore

@Suite("Cache of verified delegations")
struct DelegationCacheTests {
    private let space = SpaceID.random()

    @Test("Found by the name of the leaf alone, until it expires")
    func found() throws {
        let cache = DelegationCache()
        let chain = try VerifiedDelegation.fixture("alice", "bob", over: self.space, expiresAt: 100)
        #expect(cache.delegation(chain.cids[0], at: 0) == nil)
        cache.insert(chain)
        #expect(cache.delegation(chain.cids[0], at: 100) == chain)
        #expect(cache.delegation(chain.cids[1], at: 0) == nil)
        #expect(cache.delegation(chain.cids[0], at: 101) == nil)
        #expect(cache.count == 0)
    }

    @Test("Bounded: what is used survives, what is not goes")
    func bounded() throws {
        let cache = DelegationCache(countMax: 8)
        let used = try VerifiedDelegation.fixture("bob", over: self.space)
        cache.insert(used)
        let chains = try (0..<40).map { _ in try VerifiedDelegation.fixture("bob", over: self.space) }
        for chain in chains {
            cache.insert(chain)
            #expect(cache.delegation(used.cids[0], at: 0) == used)
            #expect(cache.count <= 8)
        }
        #expect(cache.delegation(chains[0].cids[0], at: 0) == nil)
        #expect(cache.delegation(chains[39].cids[0], at: 0) == chains[39])
        cache.insert(used)
        #expect(cache.count <= 8)
    }
}
