import Logging
import SyncProtocol

extension RPCContext {
    /// The first two steps of every request on a space for reading: its id, then the caller's right.
    func authorizeRead(of space: String, ucan: String) async -> Result<ReadGrant, RPCError> {
        guard let space = SpaceID(wireText: space) else { return .failure(.invalidSpaceID) }
        do {
            return .success(try await self.services.authorizer.authorizeRead(self.principal, of: space, ucan: ucan))
        } catch {
            return .failure(self.refusal(error, of: space))
        }
    }

    /// As `authorizeRead`, for writing.
    func authorizeWrite(to space: String, ucan: String) async -> Result<WriteGrant, RPCError> {
        guard let space = SpaceID(wireText: space) else { return .failure(.invalidSpaceID) }
        do {
            return .success(try await self.services.authorizer.authorizeWrite(self.principal, to: space, ucan: ucan))
        } catch {
            return .failure(self.refusal(error, of: space))
        }
    }

    /// Why a caller may not is for the log alone, and never with the token.
    func refusal(_ error: AuthorizationError, of space: SpaceID) -> RPCError {
        if case .refused(let reason) = error {
            self.session.debug("Access refused", self.metadata([.reason: reason.description], space))
        }
        return RPCError(error)
    }

    /// Waits for room, then queues a result that a delegation lets the caller see, unless it has been revoked since.
    func respond(_ result: some WireEncodable, under grant: ReadGrant) async throws(RequestFailure) {
        try await self.room()
        guard let delegation = grant.delegation else { return self.enqueue(result: result) }
        let revocations = self.services.revocations
        let lease: AuthorityLease
        do {
            lease = try revocations.lease(delegation, since: grant.mark)
        } catch {
            throw .refused(self.refusal(error, of: grant.space))
        }
        defer { revocations.end(lease) }
        guard lease.perform({ self.enqueue(result: result) }) else { throw .refused(.forbidden) }
    }
}
