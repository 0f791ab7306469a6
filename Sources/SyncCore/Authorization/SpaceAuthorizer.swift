import NIOCore
package import SyncAuth
package import SyncProtocol
package import SyncStorage

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Proof that a caller may read a space. Only the authorizer makes one.
package struct ReadGrant: Hashable, Sendable {
    package let space: SpaceID
    /// The client under whose name the row is created on first contact; set for the caller's personal space only.
    package let creator: String?
    /// What the grant rests on; `nil` for the caller's personal space, which nobody can take away.
    package let delegation: VerifiedDelegation?
    /// Taken before anything was checked: tells whether the grant still stands when it takes effect.
    let mark: RevocationMark

    fileprivate init(space: SpaceID, creator: String?, delegation: VerifiedDelegation?, mark: RevocationMark) {
        self.space = space
        self.creator = creator
        self.delegation = delegation
        self.mark = mark
    }
}

/// Proof that a caller may write to a space. Only the authorizer makes one.
package struct WriteGrant: Hashable, Sendable {
    package let space: SpaceID
    /// The client under whose name the row is created on first contact; set for the caller's personal space only.
    package let creator: String?
    /// What the grant rests on; `nil` for the caller's personal space.
    package let delegation: VerifiedDelegation?

    fileprivate init(space: SpaceID, creator: String?, delegation: VerifiedDelegation?) {
        self.space = space
        self.creator = creator
        self.delegation = delegation
    }
}

/// Why there is no grant. Two different answers: the second is retried by the client and never cached.
package enum AuthorizationError: Error, Hashable, Sendable {
    /// The caller may not. The reason is for the log.
    case refused(Refusal)
    /// We could not find out.
    case undecided(StorageError)

    /// In the order of the checks.
    package enum Refusal: Hashable, Sendable {
        /// There is no such space; told apart from the others by nobody outside.
        case unknownSpace
        /// Somebody else's personal space: it has no root key, so nobody can delegate anything.
        case notShared
        case noDelegation
        /// The caller's token names no key that could be the audience of a delegation.
        case noDID
        case delegation(DelegationError)
    }
}

extension AuthorizationError.Refusal: CustomStringConvertible {
    package var description: String {
        switch self {
        case .unknownSpace: "unknown space"
        case .notShared: "space not shared"
        case .noDelegation: "no UCAN"
        case .noDID: "token without DID"
        case .delegation(let error): error.description
        }
    }
}

/// Decides who may do what in a space, for every entrance there is (docs/contract/rpc.md §2.3). Evaluated anew for every
/// request; only the arithmetic of chains seen before is remembered.
package struct SpaceAuthorizer: Sendable {
    private let store: any RevocationStore
    private let log: RevocationLog
    private let unixTime: @Sendable () -> Double
    private let verified = DelegationCache()
    private let keys = DIDKeyCache()

    /// - Parameters:
    ///   - store: Is asked once for a request.
    ///   - log: Where every revocation in this process is told.
    ///   - unixTime: Seconds since 1970.
    package init(
        store: any RevocationStore, log: RevocationLog = RevocationLog(),
        unixTime: @escaping @Sendable () -> Double = { Date().timeIntervalSince1970 }
    ) {
        self.store = store
        self.log = log
        self.unixTime = unixTime
    }

    /// - Parameter ucan: Text of the delegation, empty when there is none.
    package func authorizeRead(
        _ principal: Principal, of space: SpaceID, ucan: String
    ) async throws(AuthorizationError) -> ReadGrant {
        let mark = self.log.mark
        if principal.personalSpace == space {
            return ReadGrant(space: space, creator: principal.clientID, delegation: nil, mark: mark)
        }
        let delegation = try await self.delegation(ucan, letting: principal, .read, in: space)
        return ReadGrant(space: space, creator: nil, delegation: delegation, mark: mark)
    }

    /// - Parameter ucan: Text of the delegation, empty when there is none.
    package func authorizeWrite(
        _ principal: Principal, to space: SpaceID, ucan: String
    ) async throws(AuthorizationError) -> WriteGrant {
        if principal.personalSpace == space {
            return WriteGrant(space: space, creator: principal.clientID, delegation: nil)
        }
        let delegation = try await self.delegation(ucan, letting: principal, .write, in: space)
        return WriteGrant(space: space, creator: nil, delegation: delegation)
    }

    /// Rules 2–6 of docs/contract/rpc.md §2.3: what gives access to a space that is not the caller's own. A missing space is
    /// refused like a forbidden one, so that existence is not revealed.
    private func delegation(
        _ ucan: String, letting principal: Principal, _ permission: Permission, in space: SpaceID
    ) async throws(AuthorizationError) -> VerifiedDelegation {
        let now = UInt64(max(0, self.unixTime()))
        // Read ahead of the store, which is asked for the row of the space and for the tokens together.
        let chain: Result<Chain, DelegationError>? =
            ucan.isEmpty || principal.did.isEmpty ? nil : self.read(ucan, at: now)
        let access = try await self.access(to: space, with: (try? chain?.get())?.revocableCIDs ?? [])
        guard let rootKey = access.space.rootPublicKey else { throw .refused(.notShared) }
        guard !ucan.isEmpty else { throw .refused(.noDelegation) }
        guard let chain else { throw .refused(.noDID) }
        let requirement = DelegationRequirement(
            audience: principal.did, permission: permission, space: space, rootKey: Array(rootKey.readableBytesView))
        do throws(DelegationError) {
            let chain = try chain.get()
            guard !access.isAnyRevoked else { throw .revoked }
            return try self.verify(chain, requirement, at: now)
        } catch {
            throw .refused(.delegation(error))
        }
    }

    private func access(
        to space: SpaceID, with cids: [String]
    ) async throws(AuthorizationError) -> SpaceAccess {
        do {
            return try await self.store.access(to: space, with: cids)
        } catch .spaceNotFound {
            throw .refused(.unknownSpace)
        } catch {
            throw .undecided(error)
        }
    }
}

// MARK: - Chains

extension SpaceAuthorizer {
    /// A chain of which nothing is known but that its tokens are well formed and signed, or one that was verified before.
    private enum Chain {
        case unverified(UnverifiedDelegation)
        case verified(VerifiedDelegation)

        var revocableCIDs: [String] {
            switch self {
            case .unverified(let delegation): delegation.revocableCIDs
            case .verified(let delegation): delegation.revocableCIDs
            }
        }
    }

    /// - Parameter now: Unix seconds.
    private func read(_ ucan: String, at now: UInt64) -> Result<Chain, DelegationError> {
        // Before anything is done with the text.
        guard ucan.utf8.count <= UnverifiedDelegation.bytesMax else { return .failure(.invalid(.tooLong)) }
        if let known = self.verified.delegation(UnverifiedDelegation.cid(of: ucan), at: now) {
            return .success(.verified(known))
        }
        return Result { () throws(DelegationError) in
            .unverified(try UnverifiedDelegation(parsing: ucan, keys: self.keys))
        }
    }

    /// - Parameter now: Unix seconds.
    private func verify(
        _ chain: Chain, _ requirement: DelegationRequirement, at now: UInt64
    ) throws(DelegationError) -> VerifiedDelegation {
        switch chain {
        case .verified(let delegation):
            try delegation.check(requirement, at: now)
            return delegation
        case .unverified(let delegation):
            let verified = try delegation.verify(requirement, at: now)
            self.verified.insert(verified)
            return verified
        }
    }
}
