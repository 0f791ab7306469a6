import Crypto
import Synchronization

/// Signatures of tokens that have been verified. A token comes with every request over HTTP, and no other step of looking at it
/// costs as much.
///
/// Holds facts that never change: that a key made a signature over a text. Whether the key still counts, and what the text
/// says, is for the caller to ask each time. Bounded, as `RecentlyUsed` is.
final class VerifiedSignatures: Sendable {
    private struct Fact: Hashable, Sendable {
        let digest: SHA256Digest
    }

    // Guarded by itself.
    private let facts: Mutex<RecentlyUsed<Fact, Bool>>

    /// - Parameter countMax: Signatures kept at most; one takes about a hundred bytes.
    init(countMax: Int = 8_192) { self.facts = Mutex(RecentlyUsed(countMax: countMax)) }

    var count: Int { self.facts.withLock { $0.count } }

    /// Whether `key` made the signature of `jws`.
    func isSigned(_ jws: CompactJWS, by key: P256.Signing.PublicKey) -> Bool {
        guard let fact = Self.fact(jws, key) else { return false }
        if self.facts.withLock({ $0.value(for: fact) }) != nil { return true }
        guard jws.isSigned(by: key) else { return false }
        self.facts.withLock { $0.insert(true, for: fact) }
        return true
    }

    /// Key and signature have fixed lengths, so that nothing can be taken for something else.
    private static func fact(_ jws: CompactJWS, _ key: P256.Signing.PublicKey) -> Fact? {
        guard let signature = jws.signature else { return nil }
        var hash = SHA256()
        hash.update(data: key.rawRepresentation)
        hash.update(data: signature.rawRepresentation)
        hash.update(data: jws.signedText)
        return Fact(digest: hash.finalize())
    }
}
