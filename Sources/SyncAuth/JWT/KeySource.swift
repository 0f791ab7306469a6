package import Crypto

/// Where one issuer's signing keys come from.
package protocol KeySource: Sendable {
    /// The key that the issuer publishes under `keyID`, or `nil`. There is no default key.
    func key(_ keyID: String) async -> P256.Signing.PublicKey?
}

/// Fetches the bytes of a key set document.
///
/// An implementation bounds the time and the size (docs/contract/auth.md §2.4: 10 s, 1,048,576 bytes) and throws for
/// everything but a complete document: the waiting callers wait as long as it does.
package protocol KeySetFetcher: Sendable {
    func fetch(_ url: String) async throws -> [UInt8]
}

/// What happened to a key set, for the log: SyncAuth itself writes none.
package enum KeySetEvent: Sendable {
    case fetched(url: String, keyCount: Int, skipped: [KeySet.SkippedKey])
    case fetchFailed(url: String, error: any Error)
}
