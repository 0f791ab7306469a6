import Benchmark
import Crypto
import NIOCore
import SyncAuth
import SyncProtocol
import SyncTesting

/// Parsing and verifying a chain of delegations that has not been seen before, by signers who have and by signers who have
/// not, and beside them the bare cost of as many ES256 verifications: with keys at hand, and with keys of which only the 33
/// bytes are there that a delegation names its signer by.
func registerChainBenchmarks() {
    let space = SpaceID.random()
    for depth in [1, 3, 8] {
        let names = (0...depth).map { "person \($0)" }
        let text = TestDelegation.chain(names, .write, over: space)
        let requirement = DelegationRequirement(
            audience: TestDelegation.did(names[depth]), permission: .write, space: space,
            rootKey: Array(TestDelegation.rootKey(names[0]).readableBytesView))
        Benchmark("validate_chain/depth/\(depth)", configuration: Benchmark.verification) { benchmark in
            let keys = DIDKeyCache()
            _ = try UnverifiedDelegation(parsing: text, keys: keys)
            try benchmark.sample {
                blackHole(try UnverifiedDelegation(parsing: text, keys: keys).verify(requirement, at: 1_767_225_600))
            }
        }
        Benchmark("validate_chain_new_signers/depth/\(depth)", configuration: Benchmark.verification) { benchmark in
            try benchmark.sample {
                blackHole(try UnverifiedDelegation(parsing: text).verify(requirement, at: 1_767_225_600))
            }
        }
        let key = TestDelegation.privateKey("bare")
        let message = Array(text.utf8.prefix(300))
        Benchmark("es256_verify/times/\(depth)", configuration: Benchmark.verification) { benchmark in
            let signature = try key.signature(for: message)
            let publicKey = key.publicKey
            benchmark.sample {
                for _ in 0..<depth { blackHole(publicKey.isValidSignature(signature, for: message)) }
            }
        }
        Benchmark("es256_verify_new_keys/times/\(depth)", configuration: Benchmark.verification) { benchmark in
            let signature = try key.signature(for: message)
            let compressed = Array(key.publicKey.compressedRepresentation)
            try benchmark.sample {
                for _ in 0..<depth {
                    let publicKey = try P256.Signing.PublicKey(compressedRepresentation: compressed)
                    blackHole(publicKey.isValidSignature(signature, for: message))
                }
            }
        }
    }
}
