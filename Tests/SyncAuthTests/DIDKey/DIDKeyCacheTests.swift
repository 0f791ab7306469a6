import SyncAuth
import SyncTesting
import Testing

@Suite("Known keys")
struct DIDKeyCacheTests {
    @Test("A chain is judged alike with keys known and unknown, and leaves its signers known")
    func chain() throws {
        let keys = DIDKeyCache()
        let text = try TestChain(["root", "alice", "bob", "carol"]).mint()
        let requirement = DelegationRequirement("carol")
        let alone = try UnverifiedDelegation(parsing: text).verify(requirement, at: TestChain.now)
        for _ in 0..<2 {
            let known = try UnverifiedDelegation(parsing: text, keys: keys).verify(requirement, at: TestChain.now)
            #expect(known == alone)
            #expect(keys.count == 3)
        }
    }

    @Test("UCN-16: a key known under the issuer's name does not make another's signature good")
    func foreignSignature() throws {
        let keys = DIDKeyCache()
        _ = try UnverifiedDelegation(parsing: TestChain(["root", "carol"]).mint(), keys: keys)
        var forged = TestChain(["root", "carol"])
        forged[0].signer = "bob"
        let text = try forged.mint()
        #expect(throws: DelegationError.invalid(.signature)) { try UnverifiedDelegation(parsing: text, keys: keys) }
    }

    @Test("A key that has signed nothing is not kept")
    func unproven() throws {
        let keys = DIDKeyCache()
        var forged = TestChain(["root", "carol"])
        forged[0].signer = "bob"
        let text = try forged.mint()
        #expect(throws: DelegationError.invalid(.signature)) { try UnverifiedDelegation(parsing: text, keys: keys) }
        #expect(keys.count == 0)
    }

    @Test("DID-4: what is no key is no key the second time either")
    func invalid() throws {
        let keys = DIDKeyCache()
        var chain = TestChain(["root", "carol"])
        chain[0].claims["iss"] = "did:key:z0OOOl"
        let text = try chain.mint()
        for _ in 0..<2 {
            #expect(throws: DelegationError.invalid(.issuer(.base58))) {
                try UnverifiedDelegation(parsing: text, keys: keys)
            }
        }
    }

    @Test("Bounded")
    func bounded() throws {
        let keys = DIDKeyCache(countMax: 4)
        for index in 0..<12 {
            _ = try UnverifiedDelegation(parsing: TestChain(["signer \(index)", "carol"]).mint(), keys: keys)
            #expect(keys.count <= 4)
        }
    }
}
