package import SyncAuth
package import SyncProtocol
package import SyncStorage

/// Proof that a caller may read a space. Only the authorizer makes one.
package struct ReadGrant: Hashable, Sendable {
    package let space: SpaceID
    /// The client under whose name the row is created on first contact; set for the caller's personal space only.
    package let creator: String?

    fileprivate init(space: SpaceID, creator: String?) {
        self.space = space
        self.creator = creator
    }
}

/// Proof that a caller may write to a space. Only the authorizer makes one.
package struct WriteGrant: Hashable, Sendable {
    package let space: SpaceID
    /// The client under whose name the row is created on first contact; set for the caller's personal space only.
    package let creator: String?

    fileprivate init(space: SpaceID, creator: String?) {
        self.space = space
        self.creator = creator
    }
}

/// Why there is no grant. Two different answers: the second is retried by the client and never cached.
package enum AuthorizationError: Error, Hashable, Sendable {
    /// The caller may not.
    case refused
    /// We could not find out.
    case undecided(StorageError)
}

/// Decides who may do what in a space (docs/contract/rpc.md §2.3). Evaluated for every request; nothing is cached.
package struct SpaceAuthorizer: Sendable {
    private let spaces: any SpaceStore

    package init(spaces: any SpaceStore) { self.spaces = spaces }

    /// - Parameter ucan: Text of the delegation, empty when there is none.
    package func authorizeRead(
        _ principal: Principal, of space: SpaceID, ucan: String
    ) async throws(AuthorizationError) -> ReadGrant {
        if principal.personalSpace == space { return ReadGrant(space: space, creator: principal.clientID) }
        try await self.authorizeDelegated(to: space, ucan: ucan)
        return ReadGrant(space: space, creator: nil)
    }

    /// - Parameter ucan: Text of the delegation, empty when there is none.
    package func authorizeWrite(
        _ principal: Principal, to space: SpaceID, ucan: String
    ) async throws(AuthorizationError) -> WriteGrant {
        if principal.personalSpace == space { return WriteGrant(space: space, creator: principal.clientID) }
        try await self.authorizeDelegated(to: space, ucan: ucan)
        return WriteGrant(space: space, creator: nil)
    }

    /// Returns when a delegation gives access to somebody else's space. A missing space is refused like a forbidden one, so
    /// that existence is not revealed.
    private func authorizeDelegated(to space: SpaceID, ucan: String) async throws(AuthorizationError) {
        do {
            _ = try await self.spaces.space(space)
        } catch .spaceNotFound {
            throw .refused
        } catch {
            throw .undecided(error)
        }
        // Delegations are not verified in this version: a shared space is as closed as a personal one.
        throw .refused
    }
}
