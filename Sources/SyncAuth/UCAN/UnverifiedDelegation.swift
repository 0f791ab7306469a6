/// A delegation and every token embedded in it, parsed: each is well formed and signed by its own issuer. That says nothing
/// about what they allow; `verify` does.
///
/// Made by the walk of docs/contract/auth.md §5.5, whose order `cids` keeps.
package struct UnverifiedDelegation: Sendable {
    /// Bytes of the whole text (§5.4, as in HTTP). A chain of 8 tokens needs about 12 KiB.
    package static let bytesMax = 65_536
    /// Tokens from the leaf to the root, both included.
    package static let tokensMax = 8
    /// Different tokens that are looked at: more than a chain has, because several proofs of one token are all walked.
    package static let tokensWalkedMax = 32

    /// The leaf, then depth first along the proofs. Each text once.
    let tokens: [DelegationToken]

    /// The name of the delegation: lower-case hex of SHA-256 over its exact text.
    package static func cid(of text: String) -> String { DelegationText(text).cid }

    /// Names of all tokens, the leaf first.
    package var cids: [String] { self.tokens.map(\.cid) }

    /// Names of all tokens under either form of their signatures. Revoking any of them revokes the delegation: the caller asks
    /// the store.
    package var revocableCIDs: [String] { self.tokens.flatMap(\.revocableCIDs) }

    /// `exp` of the leaf in Unix seconds.
    package var expiresAt: UInt64? { self.tokens.first?.expiresAt }

    /// The first `aud` of the leaf, not checked: the peer's own claim in `docs/contract/auth.md §5.6`.
    package var audience: String { self.tokens.first?.audience ?? "" }

    /// - Parameter keys: Keys decoded before; takes in the ones that are not there yet.
    /// - Throws: `.invalid` or `.chainTooDeep`. An embedded text costs its own length once more, never a stack frame.
    package init(parsing text: String, keys: DIDKeyCache? = nil) throws(DelegationError) {
        guard text.utf8.count <= Self.bytesMax else { throw .invalid(.tooLong) }
        var tokens: [DelegationToken] = []
        var seen: Set<String> = []
        var pending = [(text: text, depth: 0)]
        while let (text, depth) = pending.popLast() {
            guard depth < Self.tokensMax else { throw .chainTooDeep }
            let text = DelegationText(text)
            guard seen.insert(text.cid).inserted else { continue }
            guard seen.count <= Self.tokensWalkedMax else { throw .invalid(.tooManyTokens) }
            let token = try DelegationToken(text, keys: keys)
            tokens.append(token)
            for proof in token.proofs.reversed() where !proof.isEmpty { pending.append((proof, depth + 1)) }
        }
        self.tokens = tokens
    }
}
