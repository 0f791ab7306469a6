package import Crypto

/// The published keys of one issuer, fetched when needed and kept (docs/contract/auth.md §2.4). One per issuer, so that
/// no issuer's key can verify another's token.
package actor KeySetCache: KeySource {
    // Fixed after init.
    private let url: String
    private let fetcher: any KeySetFetcher
    private let uptime: @Sendable () -> Duration
    private let observe: @Sendable (KeySetEvent) -> Void

    // Guarded by the actor.
    private var state = StateMachine()
    private var fetchInProgress: Task<Bool, Never>?

    /// - Parameters:
    ///   - uptime: time since any fixed moment, not moved by changes of the clock.
    ///   - observe: told of every fetch, for the log. Must not wait.
    package init(
        url: String, fetcher: any KeySetFetcher, uptime: @escaping @Sendable () -> Duration,
        observe: @escaping @Sendable (KeySetEvent) -> Void = { _ in }
    ) {
        self.url = url
        self.fetcher = fetcher
        self.uptime = uptime
        self.observe = observe
    }

    package func key(_ keyID: String) async -> P256.Signing.PublicKey? {
        if await self.attempt(keyID) == .again {
            // The fetch that we waited for began before we did, so the key may have appeared since. One that begins now,
            // ours or another caller's, settles it.
            _ = await self.attempt(keyID)
        }
        return self.state.set?.keys[ExactText(keyID)]
    }

    private enum Outcome { case settled, again }

    private func attempt(_ keyID: String) async -> Outcome {
        switch self.state.lookUp(keyID, now: self.uptime()) {
        case .answer:
            return .settled
        case .fetch:
            // A task of its own, so that cancelling a caller does not cancel what others wait for. Its owner is the caller
            // that starts it: it awaits the end below, even when it is itself cancelled. The fetcher bounds the time.
            let fetch = Task { await self.fetch() }
            self.fetchInProgress = fetch
            _ = await fetch.value
            return .settled
        case .wait:
            let succeeded = await self.fetchInProgress?.value ?? false
            return succeeded ? .again : .settled
        }
    }

    private func fetch() async -> Bool {
        defer { self.fetchInProgress = nil }
        do {
            let set = try KeySet(document: try await self.fetcher.fetch(self.url))
            self.state.succeeded(set, now: self.uptime())
            self.observe(.fetched(url: self.url, keyCount: set.keys.count, skipped: set.skipped))
            return true
        } catch {
            self.state.failed(now: self.uptime())
            self.observe(.fetchFailed(url: self.url, error: error))
            return false
        }
    }
}
