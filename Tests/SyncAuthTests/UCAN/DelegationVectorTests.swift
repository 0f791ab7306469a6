import Crypto
import Foundation
import SyncAuth
import SyncProtocol
import SyncTesting
import Testing

@Suite("Delegation vectors")
struct DelegationVectorTests {
    private func vector(_ name: String) throws -> DelegationVectors.Token {
        try #require(try Fixture.load("delegations", as: DelegationVectors.self).tokens.first { $0.name == name })
    }

    private func text(_ name: String) throws -> String { try self.vector(name).text }

    @Test("UCN-1: U3 lets carol read, and the chain tells what it knows")
    func leafOfThree() throws {
        let verified = try verifyDelegation(self.text("U3"), for: "carol")
        #expect(verified.audience == TestDelegation.did("carol"))
        #expect(verified.permission == .read)
        #expect(verified.space == TestChain.space)
        #expect(verified.expiresAt == 4_102_272_000)
        #expect(verified.notBefore == 0)
        #expect(verified.rootKey == TestDelegation.signer("root").did.compressed)
        #expect(verified.cids == [try self.vector("U3").cid, try self.vector("U2").cid, try self.vector("U1").cid])
    }

    @Test("UCN-2: U3 does not let carol write")
    func readIsNotWrite() throws {
        #expect(throws: DelegationError.attenuationViolation(.insufficient)) {
            try verifyDelegation(self.text("U3"), for: "carol", .write)
        }
    }

    @Test("UCN-3: U2 lets bob write, not administer")
    func write() throws {
        #expect(try verifyDelegation(self.text("U2"), for: "bob", .write).permission == .write)
        #expect(throws: DelegationError.attenuationViolation(.insufficient)) {
            try verifyDelegation(self.text("U2"), for: "bob", .admin)
        }
    }

    @Test("UCN-4: U1 lets alice administer")
    func admin() throws {
        #expect(try verifyDelegation(self.text("U1"), for: "alice", .admin).permission == .admin)
    }

    @Test("UCN-5: U3 is of no use to bob")
    func otherAudience() throws {
        #expect(throws: DelegationError.identityMismatch(.audience)) {
            try verifyDelegation(self.text("U3"), for: "bob")
        }
    }

    @Test("UCN-6: U3 is of no use in another space")
    func otherSpace() throws {
        let other = try #require(SpaceID(wireText: "99999999-9999-9999-9999-999999999999"))
        #expect(throws: DelegationError.resourceMismatch) {
            try verifyDelegation(self.text("U3"), for: "carol", over: other)
        }
    }

    @Test("UCN-7: a space id in upper case is the same space in a request, another resource in a token")
    func upperCase() throws {
        let upper = TestChain.space.wireText.uppercased()
        let space = try #require(SpaceID(wireText: upper))
        try verifyDelegation(self.text("U3"), for: "carol", over: space)
        var chain = TestChain(["root", "carol"])
        chain[0].claims["with"] = "space:" + upper
        #expect(throws: DelegationError.resourceMismatch) { try chain.verify(for: "carol") }
    }

    @Test("UCN-8: U3 does not grow from alice's key")
    func otherRoot() throws {
        #expect(throws: DelegationError.rootMismatch) {
            try verifyDelegation(self.text("U3"), for: "carol", root: "alice")
        }
    }

    @Test("UCN-9: the revocation walk names every token of the chain, the leaf first")
    func walkOfThree() throws {
        let delegation = try UnverifiedDelegation(parsing: self.text("U3"))
        #expect(delegation.cids == [try self.vector("U3").cid, try self.vector("U2").cid, try self.vector("U1").cid])
    }

    @Test("UCN-11: U3 at its expiry and one second later")
    func expiry() throws {
        try verifyDelegation(self.text("U3"), for: "carol", at: 4_102_272_000)
        #expect(throws: DelegationError.expired) {
            try verifyDelegation(self.text("U3"), for: "carol", at: 4_102_272_001)
        }
    }

    @Test(
        "UCN-12 to UCN-16: N1 to N5 each fail by their one fault",
        arguments: [
            ("N1", DelegationError.expired), ("N2", .rootMismatch), ("N3", .resourceMismatch),
            ("N4", .invalid(.emptyNonce)), ("N5", .invalid(.signature)),
        ])
    func faults(name: String, error: DelegationError) throws {
        #expect(throws: error) { try verifyDelegation(self.text(name), for: "carol") }
    }

    @Test("UCN-17: R1, the root delegating to itself, lets it administer")
    func selfDelegation() throws {
        try verifyDelegation(self.text("R1"), for: "root", .admin)
    }

    @Test("UCN-18: D1 lets carol read and write, not administer")
    func levels() throws {
        try verifyDelegation(self.text("D1"), for: "carol", .read)
        try verifyDelegation(self.text("D1"), for: "carol", .write)
        #expect(throws: DelegationError.attenuationViolation(.insufficient)) {
            try verifyDelegation(self.text("D1"), for: "carol", .admin)
        }
    }

    @Test("UCN-28: the name of a token is the hash of its text, its own and nobody else's")
    func names() throws {
        let vectors = try Fixture.load("delegations", as: DelegationVectors.self).tokens
        for vector in vectors {
            #expect(UnverifiedDelegation.cid(of: vector.text) == vector.cid)
            if vector.name != "N5" { #expect(try UnverifiedDelegation(parsing: vector.text).cids.first == vector.cid) }
        }
        #expect(Set(vectors.map { UnverifiedDelegation.cid(of: $0.text) }).count == vectors.count)
    }

    @Test("The vectors say of themselves what their rows say")
    func rows() throws {
        for vector in try Fixture.load("delegations", as: DelegationVectors.self).tokens where vector.name != "N5" {
            let delegation = try UnverifiedDelegation(parsing: vector.text)
            #expect(delegation.expiresAt == vector.expiresAt)
            #expect(delegation.audience == TestDelegation.did(vector.audience))
        }
    }
}
