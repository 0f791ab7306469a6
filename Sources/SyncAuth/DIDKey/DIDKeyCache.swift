import Synchronization

/// Keys by the text of their DID. To find y from a compressed key costs a third of a verification, and few keys sign most
/// of what a server sees. Bounded, as `RecentlyUsed` is.
package final class DIDKeyCache: Sendable {
    // Guarded by itself.
    private let keys: Mutex<RecentlyUsed<ExactText, DIDKey>>

    /// - Parameter countMax: Keys kept at most; one takes about a kilobyte.
    package init(countMax: Int = 4_096) { self.keys = Mutex(RecentlyUsed(countMax: countMax)) }

    package var count: Int { self.keys.withLock { $0.count } }

    func key(_ text: String) -> DIDKey? { self.keys.withLock { $0.value(for: ExactText(text)) } }

    func insert(_ key: DIDKey) { self.keys.withLock { $0.insert(key, for: ExactText(key.text)) } }
}
