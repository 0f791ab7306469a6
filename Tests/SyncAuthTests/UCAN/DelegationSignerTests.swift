import Crypto
import Foundation
import SyncAuth
import SyncProtocol
import SyncTesting
import Testing

@Suite("Minting delegations")
struct DelegationSignerTests {
    private let space = TestChain.space

    @Test("A creator's own delegation and one for a friend are valid")
    func creatorAndFriend() throws {
        let creator = DelegationSigner()
        let friend = DelegationSigner()
        let expiry = TestChain.now + DelegationSigner.lifetime
        let own = try creator.delegate(.admin, over: self.space, to: creator.did.text, expiresAt: expiry)
        let lent = try creator.delegate(.write, over: self.space, to: friend.did.text, expiresAt: expiry, proof: own)
        var requirement = DelegationRequirement(
            audience: creator.did.text, permission: .admin, space: self.space, rootKey: creator.did.compressed)
        _ = try UnverifiedDelegation(parsing: own).verify(requirement, at: TestChain.now)
        requirement.audience = friend.did.text
        requirement.permission = .write
        let verified = try UnverifiedDelegation(parsing: lent).verify(requirement, at: TestChain.now)
        #expect(verified.expiresAt == TestChain.now + 7_776_000)
        #expect(verified.cids == [lent, own].map(UnverifiedDelegation.cid))
    }

    @Test("The format is the SDK's: header, claims, one audience in a list, nonce of 16 bytes")
    func format() throws {
        let text = TestDelegation.delegate(from: "root", to: "carol", .read, over: self.space, expiresAt: 5)
        let segments = text.split(separator: ".").map(String.init)
        #expect(Base64URL.decode(segments[0]) == Array(#"{"alg":"ES256","typ":"JWT"}"#.utf8))
        let payload = Data(try #require(Base64URL.decode(segments[1])))
        let claims = try #require(try JSONSerialization.jsonObject(with: payload) as? [String: Any])
        #expect(Set(claims.keys) == ["iss", "aud", "cmd", "with", "nonce", "exp", "prf"])
        #expect(claims["aud"] as? [String] == [TestDelegation.did("carol")])
        #expect(claims["iss"] as? String == TestDelegation.did("root"))
        #expect(claims["cmd"] as? String == "/space/read")
        #expect(claims["with"] as? String == "space:6dfe56d8-7987-439f-b044-ea19e633ef46")
        #expect(claims["exp"] as? Int == 5)
        #expect(claims["prf"] as? [String] == [])
        #expect(Base64URL.decode(try #require(claims["nonce"] as? String))?.count == 16)
        #expect(text != TestDelegation.delegate(from: "root", to: "carol", .read, over: self.space, expiresAt: 5))
    }

    @Test("A delegation is capped at the expiry of its proof, and a proof has to be one")
    func cap() throws {
        let proof = TestDelegation.delegate(from: "root", to: "alice", .read, over: self.space, expiresAt: 100)
        for (wanted, got) in [(99, 99), (100, 100), (101, 100)] as [(UInt64, UInt64)] {
            let text = TestDelegation.delegate(
                from: "alice", to: "bob", .read, over: self.space, expiresAt: wanted, proof: proof)
            #expect(try UnverifiedDelegation(parsing: text).expiresAt == got)
        }
        #expect(throws: DelegationError.invalid(.malformed)) {
            try DelegationSigner().delegate(.read, over: self.space, to: "x", expiresAt: 1, proof: "no token")
        }
    }
}
