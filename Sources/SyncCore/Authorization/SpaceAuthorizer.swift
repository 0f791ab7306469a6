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
    private let spaces: any SpaceStore
    private let revocations: any RevocationStore
    private let log: RevocationLog
    private let unixTime: @Sendable () -> Double
    private let verified = DelegationCache()
    private let keys = DIDKeyCache()

    /// - Parameters:
    ///   - log: Where every revocation in this process is told.
    ///   - unixTime: Seconds since 1970.
    package init(
        spaces: any SpaceStore, revocations: any RevocationStore, log: RevocationLog = RevocationLog(),
        unixTime: @escaping @Sendable () -> Double = { Date().timeIntervalSince1970 }
    ) {
        self.spaces = spaces
        self.revocations = revocations
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
        let rootKey = try await self.rootKey(of: space)
        guard !ucan.isEmpty else { throw .refused(.noDelegation) }
        guard !principal.did.isEmpty else { throw .refused(.noDID) }
        let requirement = DelegationRequirement(
            audience: principal.did, permission: permission, space: space, rootKey: rootKey)
        return try await self.delegation(ucan, meeting: requirement, at: UInt64(max(0, self.unixTime())))
    }

    private func rootKey(of space: SpaceID) async throws(AuthorizationError) -> [UInt8] {
        let row: Space
        do {
            row = try await self.spaces.space(space)
        } catch .spaceNotFound {
            throw .refused(.unknownSpace)
        } catch {
            throw .undecided(error)
        }
        guard let rootKey = row.rootPublicKey else { throw .refused(.notShared) }
        return Array(rootKey.readableBytesView)
    }

    private func delegation(
        _ ucan: String, meeting requirement: DelegationRequirement, at now: UInt64
    ) async throws(AuthorizationError) -> VerifiedDelegation {
        // Before anything is done with the text.
        guard ucan.utf8.count <= UnverifiedDelegation.bytesMax else { throw .refused(.delegation(.invalid(.tooLong))) }
        if let known = self.verified.delegation(UnverifiedDelegation.cid(of: ucan), at: now) {
            try await self.checkNotRevoked(known.cids, in: requirement.space)
            do { try known.check(requirement, at: now) } catch { throw .refused(.delegation(error)) }
            return known
        }
        let delegation: UnverifiedDelegation
        do { delegation = try UnverifiedDelegation(parsing: ucan, keys: self.keys) } catch {
            throw .refused(.delegation(error))
        }
        try await self.checkNotRevoked(delegation.cids, in: requirement.space)
        let verified: VerifiedDelegation
        do { verified = try delegation.verify(requirement, at: now) } catch { throw .refused(.delegation(error)) }
        self.verified.insert(verified)
        return verified
    }

    private func checkNotRevoked(_ cids: [String], in space: SpaceID) async throws(AuthorizationError) {
        let isRevoked: Bool
        do {
            isRevoked = try await self.revocations.isAnyRevoked(of: cids, in: space)
        } catch {
            throw .undecided(error)
        }
        guard !isRevoked else { throw .refused(.delegation(.revoked)) }
    }
}
