import Foundation
import SyncProtocol
import SyncTesting
import Testing

@testable import SyncAuth

/// Every rule broken alone, in a chain that is valid otherwise.
@Suite("Delegation rules")
struct DelegationRuleTests {
    /// root → alice → bob → carol.
    private let names = ["root", "alice", "bob", "carol"]

    private func chain(_ permission: Permission = .read) -> TestChain { TestChain(self.names, permission) }

    /// What becomes of the chain of three after one change of the link at `index`, the root's being 0.
    private func verify(link index: Int, _ change: (inout TestChain.Link) -> Void) throws -> VerifiedDelegation {
        var chain = self.chain()
        change(&chain[index])
        return try chain.verify(for: "carol")
    }

    @Test("The chain that the other tests break is valid")
    func valid() throws {
        let verified = try self.chain(.write).verify(for: "carol", .write)
        #expect(verified.cids.count == 3)
        #expect(verified.permission == .write)
    }

    @Test("UCN-19: alice cannot give away more than she got")
    func amplification() throws {
        var chain = TestChain(["root", "alice", "bob"])
        chain[1].claims["cmd"] = "/space/write"
        #expect(throws: DelegationError.attenuationViolation(.exceedsProof)) { try chain.verify(for: "bob") }
        #expect(throws: DelegationError.attenuationViolation(.exceedsProof)) { try chain.verify(for: "bob", .write) }
    }

    @Test("UCN-20: a delegation does not outlive its proof, not by a second")
    func outliving() throws {
        for index in 1...2 {
            #expect(throws: DelegationError.attenuationViolation(.outlivesProof)) {
                try self.verify(link: index) { $0.claims["exp"] = TestChain.now + 3_601 }
            }
            _ = try self.verify(link: 2) { $0.claims["exp"] = TestChain.now + 3_600 }
        }
    }

    @Test("UCN-21: a proof for alice proves nothing about bob")
    func brokenLink() throws {
        #expect(throws: DelegationError.identityMismatch(.link)) {
            try self.verify(link: 1) { link in
                link.signer = "dave"
                link.claims["iss"] = TestDelegation.did("dave")
            }
        }
        #expect(throws: DelegationError.identityMismatch(.link)) {
            try self.verify(link: 0) { $0.claims["aud"] = TestDelegation.did("dave") }
        }
    }

    @Test("UCN-21: the same key under another spelling of its DID breaks the link: DIDs are compared as text")
    func respelledLink() throws {
        let other = "did:key:z" + Base58.encode([0x80, 0xa4, 0x00] + TestDelegation.signer("alice").did.compressed)
        _ = try DIDKey(other)
        #expect(throws: DelegationError.identityMismatch(.link)) {
            try self.verify(link: 1) { $0.claims["iss"] = other }
        }
    }

    @Test("UCN-22: two proofs, even twice the same", arguments: [0, 1, 2])
    func severalProofs(index: Int) throws {
        let parent = try TestChain(Array(self.names.prefix(index + 1)) + (index == 0 ? ["alice"] : [])).mint()
        let error = DelegationError.invalid(.severalProofs)
        #expect(throws: error) { try self.verify(link: index) { $0.proofs = [parent, parent] } }
    }

    @Test("UCN-23: no expiry", arguments: [0, 1, 2])
    func noExpiry(index: Int) throws {
        #expect(throws: DelegationError.invalid(.noExpiry)) {
            try self.verify(link: index) { $0.claims["exp"] = nil }
        }
    }

    @Test("UCN-24: not yet valid, and valid from this second on", arguments: [0, 1, 2])
    func notBefore(index: Int) throws {
        #expect(throws: DelegationError.invalid(.notYetValid)) {
            try self.verify(link: index) { $0.claims["nbf"] = TestChain.now + 1 }
        }
        let verified = try self.verify(link: index) { $0.claims["nbf"] = TestChain.now }
        #expect(verified.notBefore == TestChain.now)
    }

    @Test("UCN-11: expired at any link", arguments: [0, 1, 2])
    func expired(index: Int) throws {
        var chain = self.chain()
        for later in index...2 { chain[later].claims["exp"] = TestChain.now - 1 }
        #expect(throws: DelegationError.expired) { try chain.verify(for: "carol") }
        for later in index...2 { chain[later].claims["exp"] = TestChain.now }
        #expect(try chain.verify(for: "carol").expiresAt == TestChain.now)
    }

    @Test(
        "UCN-25: commands match exactly or not at all",
        arguments: ["/space/*", "/space", "", "/", "*", "/space/read/", "/space/Read", " /space/read", "/space/reader"])
    func commands(command: String) throws {
        for index in 0...2 {
            #expect(throws: DelegationError.invalid(.unknownCommand)) {
                try self.verify(link: index) { $0.claims["cmd"] = command }
            }
        }
    }

    @Test("UCN-26: eight tokens are a chain, nine are too deep")
    func depth() throws {
        let names = ["root"] + (1...9).map { "person-\($0)" }
        for count in 1...8 {
            let text = TestDelegation.chain(Array(names.prefix(count + 1)), .admin, over: TestChain.space)
            let verified = try verifyDelegation(text, for: "person-\(count)", .admin)
            #expect(verified.cids.count == count)
        }
        let deep = try TestChain(names).mint()
        #expect(throws: DelegationError.chainTooDeep) { try verifyDelegation(deep, for: "person-9") }
    }

    @Test(
        "UCN-29: what is not a token",
        arguments: ["", "a.b", "x.y.z", "...", "..", "eyJhbGciOiJFUzI1NiJ9.e30.", "a.b.c.d", "é.é.é"])
    func notAToken(text: String) {
        #expect(
            performing: { try verifyDelegation(text, for: "carol") },
            throws: { error in
                guard case .invalid = error as? DelegationError else { return false }
                return true
            })
    }

    @Test("UCN-30: only the first audience counts")
    func firstAudience() throws {
        let carol = TestDelegation.did("carol")
        #expect(throws: DelegationError.identityMismatch(.audience)) {
            try self.verify(link: 2) { $0.claims["aud"] = ["did:key:zOther", carol] }
        }
        _ = try self.verify(link: 2) { $0.claims["aud"] = [carol, "did:key:zOther"] }
        _ = try self.verify(link: 2) { $0.claims["aud"] = carol }
        #expect(throws: DelegationError.identityMismatch(.audience)) {
            try self.verify(link: 2) { $0.claims["aud"] = [String]() }
        }
        #expect(throws: DelegationError.identityMismatch(.audience)) {
            try self.verify(link: 2) { $0.claims["aud"] = nil }
        }
    }

    @Test("UCN-31: an issuer that is no P-256 key")
    func foreignIssuer() throws {
        let ed25519 = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"
        #expect(throws: DelegationError.invalid(.issuer(.wrongMulticodec(0xed)))) {
            try self.verify(link: 2) { $0.claims["iss"] = ed25519 }
        }
        #expect(throws: DelegationError.invalid(.issuer(nil))) { try self.verify(link: 2) { $0.claims["iss"] = nil } }
        #expect(throws: DelegationError.invalid(.issuer(nil))) { try self.verify(link: 2) { $0.claims["iss"] = 1 } }
    }

    @Test("Another resource at any link", arguments: [0, 1, 2])
    func resource(index: Int) throws {
        for other in ["space:99999999-9999-9999-9999-999999999999", TestChain.space.wireText, "space:", "", "space:*"] {
            #expect(throws: DelegationError.resourceMismatch) {
                try self.verify(link: index) { $0.claims["with"] = other }
            }
        }
        #expect(throws: DelegationError.resourceMismatch) { try self.verify(link: index) { $0.claims["with"] = nil } }
    }

    @Test("An empty or missing nonce at any link", arguments: [0, 1, 2])
    func nonce(index: Int) throws {
        #expect(throws: DelegationError.invalid(.emptyNonce)) {
            try self.verify(link: index) { $0.claims["nonce"] = "" }
        }
        #expect(throws: DelegationError.invalid(.emptyNonce)) {
            try self.verify(link: index) { $0.claims["nonce"] = nil }
        }
    }

    @Test("Signed by somebody else than the issuer, at any link", arguments: [0, 1, 2])
    func signer(index: Int) throws {
        #expect(throws: DelegationError.invalid(.signature)) { try self.verify(link: index) { $0.signer = "mallory" } }
    }

    @Test("The last token is not the root's")
    func root() throws {
        #expect(throws: DelegationError.rootMismatch) { try self.chain().verify(for: "carol", root: "mallory") }
        #expect(throws: DelegationError.rootMismatch) { try TestChain(["alice", "carol"]).verify(for: "carol") }
    }

    @Test("A root that delegates through others to a token without proof of its own still has to be the root")
    func missingProof() throws {
        #expect(throws: DelegationError.rootMismatch) { try self.verify(link: 1) { $0.proofs = [String]() } }
        #expect(throws: DelegationError.invalid(.malformed)) { try self.verify(link: 1) { $0.proofs = [""] } }
        #expect(throws: DelegationError.invalid(.malformed)) { try self.verify(link: 1) { $0.proofs = ["a.b.c"] } }
    }

    @Test(
        "Claims of the wrong type, null included",
        arguments: ["aud", "cmd", "with", "nonce", "exp", "nbf"])
    func types(name: String) throws {
        for value in [NSNull(), true, 1.5, -1, ["a": 1], [1]] as [Any] {
            #expect(throws: DelegationError.invalid(.claim(name))) {
                try self.verify(link: 2) { $0.claims[name] = value }
            }
        }
        let opposite: Any = ["exp", "nbf"].contains(name) ? "1" : 1
        #expect(throws: DelegationError.invalid(.claim(name))) {
            try self.verify(link: 2) { $0.claims[name] = opposite }
        }
    }

    @Test("Proofs of the wrong type")
    func proofTypes() throws {
        for value in [NSNull(), "text", 1, [1], [NSNull()], ["a": "b"]] as [Any] {
            #expect(throws: DelegationError.invalid(.claim("prf"))) { try self.verify(link: 0) { $0.proofs = value } }
        }
    }

    @Test("A claim that occurs twice, and unknown ones that do not matter")
    func duplicates() throws {
        let signer = TestDelegation.signer("root")
        let carol = TestDelegation.did("carol")
        func text(_ more: String) throws -> String {
            let payload = """
                {"iss":"\(signer.did.text)","aud":"\(carol)","cmd":"/space/read","nonce":"n","exp":\(TestChain.now),\
                "with":"space:\(TestChain.space.wireText)"\(more)}
                """
            return try signer.sign(header: Array(#"{"alg":"ES256"}"#.utf8), payload: Array(payload.utf8))
        }
        try verifyDelegation(text(""), for: "carol")
        try verifyDelegation(text(#","fct":[1,{"a":null}],"fct":2"#), for: "carol")
        #expect(throws: DelegationError.invalid(.claim("cmd"))) {
            try verifyDelegation(text(#","cmd":"/space/admin""#), for: "carol")
        }
    }

    @Test("Header: ES256 alone; other members are ignored whatever their type")
    func headers() throws {
        for algorithm in ["HS256", "none", "ES384", "es256", ""] {
            #expect(throws: DelegationError.invalid(.malformed)) {
                try self.verify(link: 2) { $0.header = ["alg": algorithm] }
            }
        }
        #expect(throws: DelegationError.invalid(.malformed)) { try self.verify(link: 2) { $0.header = [:] } }
        _ = try self.verify(link: 2) { $0.header = ["alg": "ES256", "ucv": ["0.9"], "crit": 1, "jwk": NSNull()] }
        _ = try self.verify(link: 2) { $0.header = ["alg": "ES256", "typ": 5, "kid": NSNull()] }
    }

    @Test("DIDs are compared by their bytes: a Kelvin sign is no K")
    func bytesOfDIDs() throws {
        let name = try #require((0..<100).map { "person-\($0)" }.first { TestDelegation.did($0).contains("K") })
        // Scalar by scalar, because `replacing` finds either.
        var scalars = String.UnicodeScalarView()
        for scalar in TestDelegation.did(name).unicodeScalars { scalars.append(scalar == "K" ? "\u{212A}" : scalar) }
        let other = String(scalars)
        try #require(other == TestDelegation.did(name))
        for last in [name, "carol"] {
            var chain = TestChain(last == name ? ["root", name] : ["root", name, last])
            try chain.verify(for: last)
            chain[0].claims["aud"] = other
            #expect(throws: DelegationError.identityMismatch(last == name ? .audience : .link)) {
                try chain.verify(for: last)
            }
        }
    }

    @Test("The payload has to be a JSON object")
    func payload() throws {
        let signer = TestDelegation.signer("root")
        for payload in ["", "[]", "1", "{", #"{"iss":}"#, "{}{}", "\u{FEFF}{}"] {
            let text = try signer.sign(header: Array(#"{"alg":"ES256"}"#.utf8), payload: Array(payload.utf8))
            #expect(throws: DelegationError.invalid(.payload)) { try verifyDelegation(text, for: "carol") }
        }
    }

    @Test("A text above the size limit is refused before it is read, one at the limit is read")
    func size() throws {
        var chain = TestChain(["root", "carol"])
        func text(padding: Int) throws -> String {
            chain[0].claims["fct"] = String(repeating: "x", count: padding)
            return try chain.mint()
        }
        let base = try text(padding: 0).utf8.count
        var padding = (UnverifiedDelegation.bytesMax - base) / 4 * 3
        while try text(padding: padding + 1).utf8.count <= UnverifiedDelegation.bytesMax { padding += 1 }
        try verifyDelegation(text(padding: padding), for: "carol")
        #expect(throws: DelegationError.invalid(.tooLong)) {
            try verifyDelegation(text(padding: padding + 3), for: "carol")
        }
        let noise = String(repeating: "x", count: UnverifiedDelegation.bytesMax + 1)
        #expect(throws: DelegationError.invalid(.tooLong)) { try verifyDelegation(noise, for: "carol") }
    }

    @Test("auth §5.5: either form of the signatures names a token, so that revoking one revokes both")
    func twins() throws {
        for _ in 0..<20 {
            let proof = TestDelegation.delegate(from: "root", to: "alice", .read, over: TestChain.space)
            let twin = TestDelegation.twin(of: proof)
            #expect(twin != proof && TestDelegation.twin(of: twin) == proof)
            let texts = [proof, twin].map { proof in
                TestDelegation.delegate(from: "alice", to: "carol", .read, over: TestChain.space, proof: proof)
            }
            for (text, proofs) in [(texts[0], [proof, twin]), (texts[1], [twin, proof])] {
                let names = ([text, TestDelegation.twin(of: text)] + proofs).map(UnverifiedDelegation.cid)
                #expect(try UnverifiedDelegation(parsing: text).revocableCIDs == names)
                let verified = try verifyDelegation(text, for: "carol")
                #expect(verified.revocableCIDs == names)
                #expect(verified.cids == [names[0], names[2]])
                try verifyDelegation(TestDelegation.twin(of: text), for: "carol")
            }
        }
    }

    @Test("The walk visits every proof depth first, each text once, and knows its limits")
    func walk() throws {
        func leaf(_ nonce: String, proofs: [String] = []) throws -> String {
            var chain = TestChain(["root", "carol"])
            chain[0].claims["nonce"] = nonce
            chain[0].proofs = proofs
            return try chain.mint()
        }
        let a = try leaf("a")
        let b = try leaf("b", proofs: [a])
        let c = try leaf("c")
        let top = try leaf("top", proofs: [b, "", c, a])
        let delegation = try UnverifiedDelegation(parsing: top)
        #expect(delegation.cids == [top, b, a, c].map(UnverifiedDelegation.cid))
        #expect(throws: DelegationError.invalid(.severalProofs)) { try verifyDelegation(top, for: "carol") }

        let many = try (0..<31).map { try leaf("\($0)") }
        #expect(try UnverifiedDelegation(parsing: leaf("32", proofs: many)).cids.count == 32)
        let tooMany = try leaf("33", proofs: many + [leaf("31")])
        #expect(throws: DelegationError.invalid(.tooManyTokens)) { try UnverifiedDelegation(parsing: tooMany) }
    }

    @Test("A verified chain answers for other requests as the full check does")
    func check() throws {
        var chain = self.chain(.write)
        chain[1].claims["nbf"] = TestChain.now
        let text = try chain.mint()
        let verified = try verifyDelegation(text, for: "carol", .write)
        let other = try #require(SpaceID(wireText: "99999999-9999-9999-9999-999999999999"))
        let requests: [(DelegationRequirement, UInt64)] = [
            (.init("carol"), TestChain.now), (.init("carol", .write), TestChain.now + 3_600),
            (.init("carol", .admin), TestChain.now), (.init("bob"), TestChain.now),
            (.init("carol", over: other), TestChain.now), (.init("carol", root: "alice"), TestChain.now),
            (.init("carol"), TestChain.now + 3_601), (.init("carol"), TestChain.now - 1),
        ]
        var errors: [DelegationError] = []
        for (requirement, now) in requests {
            let full = Result { try UnverifiedDelegation(parsing: text).verify(requirement, at: now) }
            let again = Result { try verified.check(requirement, at: now) }
            #expect(full.failure == again.failure)
            if let error = full.failure { errors.append(error) }
        }
        #expect(
            errors == [
                .attenuationViolation(.insufficient), .identityMismatch(.audience), .resourceMismatch, .rootMismatch,
                .expired, .invalid(.notYetValid),
            ])
    }

    @Test("Every failure has the text of the contract")
    func descriptions() {
        let texts: [(DelegationError, String)] = [
            (.invalid(.emptyNonce), "invalid UCAN: emptyNonce"), (.expired, "UCAN expired"),
            (.chainTooDeep, "UCAN chain too deep"),
            (.attenuationViolation(.insufficient), "UCAN attenuation violation: insufficient"),
            (.resourceMismatch, "UCAN resource mismatch"), (.rootMismatch, "UCAN root key mismatch"),
            (.identityMismatch(.link), "UCAN identity mismatch: link"), (.revoked, "UCAN revoked"),
        ]
        for (error, text) in texts { #expect(error.description == text) }
    }
}

extension Result where Failure == any Error {
    fileprivate var failure: DelegationError? {
        if case .failure(let error) = self { error as? DelegationError } else { nil }
    }
}
