import Foundation
import SyncAuth
import SyncProtocol
import SyncTesting
import Testing

/// Random chains, the same for the same seed.
@Suite("Delegation properties", .timeLimit(.minutes(2)))
struct DelegationPropertyTests {
    /// A valid chain and who it is for.
    struct Sample {
        var chain: TestChain
        var names: [String]
        /// Level of the leaf.
        var permission: Permission

        var reader: String { self.names[self.names.count - 1] }
        var count: Int { self.chain.links.count }

        /// Nobody occurs twice.
        ///
        /// - Parameter count: 1...8 links.
        init(count: Int? = nil, using random: inout SeededRandom) {
            let count = count ?? Int.random(in: 1...UnverifiedDelegation.tokensMax, using: &random)
            self.names = ["root"] + (0..<count).map { "person-\($0)-\(UInt8.random(in: 0...3, using: &random))" }
            self.chain = TestChain(self.names)
            self.permission = .admin
            var expiry = TestChain.now + 1_000_000
            for index in 0..<count {
                self.permission =
                    Permission.allCases.filter { $0 <= self.permission }.randomElement(using: &random) ?? .read
                expiry = UInt64.random(in: TestChain.now...expiry, using: &random)
                self.chain[index].claims["cmd"] = self.permission.command
                self.chain[index].claims["exp"] = expiry
                if Bool.random(using: &random) {
                    self.chain[index].claims["nbf"] = UInt64.random(in: 0...TestChain.now, using: &random)
                }
                let audience = TestDelegation.did(self.names[index + 1])
                switch Int.random(in: 0...2, using: &random) {
                case 0: self.chain[index].claims["aud"] = audience
                case 1: self.chain[index].claims["aud"] = [audience, "did:key:zOther"]
                default: break
                }
                if Bool.random(using: &random) { self.chain[index].claims["fct"] = ["note": [1, "x", NSNull()]] }
                if Bool.random(using: &random) { self.chain[index].header["kid"] = "any" }
            }
        }

        @discardableResult
        func verify(_ text: String? = nil) throws -> VerifiedDelegation {
            try verifyDelegation(try text ?? self.chain.mint(), for: self.reader, self.permission)
        }
    }

    @Test("Any valid chain passes, for its own level and every lower one", arguments: 0..<40)
    func valid(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let sample = Sample(using: &random)
        let text = try sample.chain.mint()
        for permission in Permission.allCases {
            if permission <= sample.permission {
                let verified = try verifyDelegation(text, for: sample.reader, permission)
                #expect(verified.cids.count == sample.count)
                #expect(verified.permission == sample.permission)
            } else {
                #expect(throws: DelegationError.self) { try verifyDelegation(text, for: sample.reader, permission) }
            }
        }
    }

    @Test("UCN-27: one byte changed in any segment of any token fails, inside a well-signed rest", arguments: 0..<12)
    func flippedBytes(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let sample = Sample(count: Int.random(in: 1...4, using: &random), using: &random)
        try sample.verify()
        for link in 0..<sample.count {
            var upper = sample.chain
            upper.links = Array(upper.links.prefix(link + 1))
            let token = Array(try upper.mint().utf8)
            let dots = token.indices.filter { token[$0] == UInt8(ascii: ".") }
            let segments = [0..<dots[0], (dots[0] + 1)..<dots[1], (dots[1] + 1)..<token.count]
            for segment in segments {
                for _ in 0..<6 {
                    var changed = token
                    let position = Int.random(in: segment, using: &random)
                    repeat {
                        changed[position] = UInt8.random(in: 33...126, using: &random)
                    } while changed[position] == token[position]
                    var chain = sample.chain
                    let text = String(decoding: changed, as: UTF8.self)
                    if link + 1 < sample.count {
                        chain[link + 1].proofs = [text]
                        #expect(throws: DelegationError.self) { try sample.verify(try chain.mint()) }
                    } else {
                        #expect(throws: DelegationError.self) { try sample.verify(text) }
                    }
                }
            }
        }
    }

    @Test("UCN-27: every byte of a signature counts", arguments: ["U1", "R1"])
    func everySignatureByte(name: String) throws {
        let vectors = try Fixture.load("delegations", as: DelegationVectors.self).tokens
        let vector = try #require(vectors.first { $0.name == name })
        let segments = vector.text.split(separator: ".").map(String.init)
        let signature = try #require(Base64URL.decode(segments[2]))
        for index in signature.indices {
            var changed = signature
            changed[index] ^= 1 << UInt8(index % 8)
            let text = [segments[0], segments[1], Base64URL.encode(changed)].joined(separator: ".")
            #expect(throws: DelegationError.invalid(.signature)) {
                try verifyDelegation(text, for: vector.audience, .admin)
            }
        }
    }

    @Test("A text that is cut, extended or padded anywhere fails", arguments: 0..<8)
    func cutText(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let sample = Sample(count: Int.random(in: 1...3, using: &random), using: &random)
        let text = try sample.chain.mint()
        for _ in 0..<20 {
            let cut = Int.random(in: 0..<text.utf8.count, using: &random)
            #expect(throws: DelegationError.self) { try sample.verify(String(text.prefix(cut))) }
        }
        for changed in [text + ".", text + "A", text + "=", " " + text, text + "\n", "." + text, text + "." + text] {
            #expect(throws: DelegationError.self) { try sample.verify(changed) }
        }
    }

    /// Each changes one fact of a valid chain and has to make it fail, well signed as it is.
    private static let mutations: [(name: String, change: @Sendable (inout Sample, inout SeededRandom) -> Void)] = [
        ("another key signs", { sample, random in sample.chain[sample.anyLink(&random)].signer = "mallory" }),
        (
            "another issuer",
            { sample, random in
                let index = sample.anyLink(&random)
                sample.chain[index].signer = "mallory"
                sample.chain[index].claims["iss"] = TestDelegation.did("mallory")
            }
        ),
        (
            "another audience",
            { sample, random in
                sample.chain[sample.anyLink(&random)].claims["aud"] = [TestDelegation.did("mallory")]
            }
        ),
        (
            "the audience second in the list",
            { sample, random in
                let index = sample.anyLink(&random)
                sample.chain[index].claims["aud"] = ["did:key:zOther", TestDelegation.did(sample.names[index + 1])]
            }
        ),
        (
            "another space",
            { sample, random in
                sample.chain[sample.anyLink(&random)].claims["with"] = "space:99999999-9999-4999-9999-999999999999"
            }
        ),
        ("an unknown command", { sample, random in sample.chain[sample.anyLink(&random)].claims["cmd"] = "/space/*" }),
        (
            "less than the link below needs",
            { sample, random in
                sample.permission = .write
                for index in 0..<sample.count { sample.chain[index].claims["cmd"] = "/space/write" }
                sample.chain[sample.anyLink(&random)].claims["cmd"] = "/space/read"
            }
        ),
        (
            "expired",
            { sample, random in sample.chain[sample.anyLink(&random)].claims["exp"] = TestChain.now - 1 }
        ),
        ("never expires", { sample, random in sample.chain[sample.anyLink(&random)].claims["exp"] = nil }),
        (
            "not yet valid",
            { sample, random in sample.chain[sample.anyLink(&random)].claims["nbf"] = TestChain.now + 1 }
        ),
        ("no nonce", { sample, random in sample.chain[sample.anyLink(&random)].claims["nonce"] = "" }),
        ("another algorithm", { sample, random in sample.chain[sample.anyLink(&random)].header["alg"] = "ES384" }),
        ("the root left out", { sample, _ in sample.chain.links.removeFirst() }),
        (
            "outlives its proof",
            { sample, _ in
                let last = sample.count - 1
                sample.chain[last].claims["exp"] = TestChain.now + 2_000_001
                sample.chain[last - 1].claims["exp"] = TestChain.now + 2_000_000
                for index in 0..<(last - 1) { sample.chain[index].claims["exp"] = TestChain.now + 2_000_000 }
            }
        ),
        (
            "two links change places",
            { sample, random in
                let first = Int.random(in: 0..<(sample.count - 1), using: &random)
                let second = Int.random(in: (first + 1)..<sample.count, using: &random)
                sample.chain.links.swapAt(first, second)
            }
        ),
        ("a link left out", { sample, random in sample.chain.links.remove(at: sample.anyLink(&random)) }),
        (
            "a link twice",
            { sample, random in
                let index = sample.anyLink(&random)
                sample.chain.links.insert(sample.chain[index], at: index)
            }
        ),
        (
            "two proofs",
            { sample, random in
                let index = Int.random(in: 1..<sample.count, using: &random)
                var upper = sample.chain
                upper.links = Array(upper.links.prefix(index))
                let parent = (try? upper.mint()) ?? ""
                sample.chain[index].proofs = [parent, parent]
            }
        ),
    ]

    @Test("Any one change of a valid chain makes it fail, whoever signs it again", arguments: 0..<Self.mutations.count)
    func mutated(index: Int) throws {
        let mutation = Self.mutations[index]
        for seed in 0..<10 as Range<UInt64> {
            var random = SeededRandom(seed: seed &* 31 &+ UInt64(index))
            var sample = Sample(count: Int.random(in: 2...6, using: &random), using: &random)
            try sample.verify()
            mutation.change(&sample, &random)
            #expect(throws: DelegationError.self, "\(mutation.name), seed \(seed)") { try sample.verify() }
        }
    }
}

extension DelegationPropertyTests.Sample {
    func anyLink(_ random: inout SeededRandom) -> Int { Int.random(in: 0..<self.count, using: &random) }
}
