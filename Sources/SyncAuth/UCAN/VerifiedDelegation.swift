package import SyncProtocol

/// What a request needs of a delegation (docs/contract/auth.md §5.4).
package struct DelegationRequirement: Hashable, Sendable {
    /// DID of the caller.
    package var audience: String
    package var permission: Permission
    package var space: SpaceID
    /// Root public key of the space, 33 bytes.
    package var rootKey: [UInt8]

    package init(audience: String, permission: Permission, space: SpaceID, rootKey: [UInt8]) {
        self.audience = audience
        self.permission = permission
        self.space = space
        self.rootKey = rootKey
    }

    /// What `with` must be, byte for byte.
    package static func resource(of space: SpaceID) -> String { "space:" + space.wireText }
}

/// A chain that the root of a space has let grow: every rule of docs/contract/auth.md §5.4 holds. Only
/// `UnverifiedDelegation.verify` makes one.
///
/// Revocation is not among the rules: it can come any time later, so it is asked for each time (`revocableCIDs`).
package struct VerifiedDelegation: Hashable, Sendable {
    package let audience: String
    /// The level of the leaf; its proofs have at least this.
    package let permission: Permission
    package let space: SpaceID
    /// The signer of the last token, 33 bytes.
    package let rootKey: [UInt8]
    /// The latest `nbf` of the chain, 0 when no token has one. Unix seconds.
    package let notBefore: UInt64
    /// `exp` of the leaf, the earliest of the chain. Valid through this second.
    package let expiresAt: UInt64
    /// Names of the tokens, the leaf first.
    package let cids: [String]
    /// Names of the tokens under either form of their signatures: revoking any of them takes the delegation away.
    package let revocableCIDs: [String]

    fileprivate init(_ tokens: [DelegationToken], leaf: TokenGrant, _ requirement: DelegationRequirement) {
        self.audience = requirement.audience
        self.permission = leaf.permission
        self.space = requirement.space
        self.rootKey = requirement.rootKey
        self.notBefore = tokens.compactMap(\.notBefore).max() ?? 0
        self.expiresAt = leaf.expiresAt
        self.cids = tokens.map(\.cid)
        self.revocableCIDs = tokens.flatMap(\.revocableCIDs)
    }

    /// Whether the chain, verified for some other request, serves this one too.
    ///
    /// - Parameter now: Unix seconds.
    package func check(_ requirement: DelegationRequirement, at now: UInt64) throws(DelegationError) {
        guard self.audience.hasSameBytes(as: requirement.audience) else { throw .identityMismatch(.audience) }
        guard self.space == requirement.space else { throw .resourceMismatch }
        guard self.permission >= requirement.permission else { throw .attenuationViolation(.insufficient) }
        guard now <= self.expiresAt else { throw .expired }
        guard now >= self.notBefore else { throw .invalid(.notYetValid) }
        guard self.rootKey == requirement.rootKey else { throw .rootMismatch }
    }
}

extension UnverifiedDelegation {
    /// Checks the chain from the leaf to the root, each token in the order of docs/contract/auth.md §5.4 (rows 5–19). Rows 1,
    /// 2 and 4 were the parser's; row 3 cannot fail, because a text does not fit into itself.
    ///
    /// - Parameter now: Unix seconds.
    package func verify(
        _ requirement: DelegationRequirement, at now: UInt64
    ) throws(DelegationError) -> VerifiedDelegation {
        guard self.audience.hasSameBytes(as: requirement.audience) else { throw .identityMismatch(.audience) }
        let resource = DelegationRequirement.resource(of: requirement.space)
        var leaf: TokenGrant?
        // While no token has more than one proof, the walk was along the chain.
        for (index, token) in self.tokens.enumerated() {
            let grant = try token.check(resource, requirement.permission, at: now)
            let leafGrant = leaf ?? grant
            leaf = leafGrant
            guard token.proofs.count <= 1 else { throw .invalid(.severalProofs) }
            if token.proofs.isEmpty {
                guard token.issuer.compressed == requirement.rootKey else { throw .rootMismatch }
                return VerifiedDelegation(self.tokens, leaf: leafGrant, requirement)
            }
            guard index + 1 < self.tokens.count else { throw .invalid(.malformed) }
            try self.tokens[index + 1].checkProves(token, grant)
        }
        throw .chainTooDeep
    }
}

extension DelegationToken {
    var revocableCIDs: [String] { [self.cid, self.twinCID] }
}

/// What one token grants if its proof lets it.
private struct TokenGrant {
    let permission: Permission
    /// Unix seconds.
    let expiresAt: UInt64
}

extension DelegationToken {
    /// Rows 6–12: what each token of a chain must be by itself.
    fileprivate func check(
        _ resource: String, _ required: Permission, at now: UInt64
    ) throws(DelegationError) -> TokenGrant {
        guard self.resource == resource else { throw .resourceMismatch }
        guard let permission = Permission(command: self.command) else { throw .invalid(.unknownCommand) }
        guard permission >= required else { throw .attenuationViolation(.insufficient) }
        guard let expiresAt = self.expiresAt else { throw .invalid(.noExpiry) }
        guard now <= expiresAt else { throw .expired }
        if let notBefore = self.notBefore, now < notBefore { throw .invalid(.notYetValid) }
        guard !self.nonce.isEmpty else { throw .invalid(.emptyNonce) }
        return TokenGrant(permission: permission, expiresAt: expiresAt)
    }

    /// Rows 17–19: whether this token lets `child` have what it claims.
    fileprivate func checkProves(_ child: DelegationToken, _ grant: TokenGrant) throws(DelegationError) {
        guard self.audience.hasSameBytes(as: child.issuer.text) else { throw .identityMismatch(.link) }
        guard let permission = Permission(command: self.command) else { throw .invalid(.unknownCommand) }
        guard permission >= grant.permission else { throw .attenuationViolation(.exceedsProof) }
        if let limit = self.expiresAt, grant.expiresAt > limit { throw .attenuationViolation(.outlivesProof) }
    }
}
