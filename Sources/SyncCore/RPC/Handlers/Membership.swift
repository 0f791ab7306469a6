import NIOCore
import SyncAuth
import SyncProtocol
import SyncStorage
import Synchronization

/// `space.create` (docs/contract/rpc.md §7). Anyone may create a space with an id that nobody has.
func createSpace(_ params: SpaceCreateParams, _ context: RPCContext) async throws(RequestFailure) -> RPCReport {
    // A personal space has a version-5 id, derived from who its owner is: nobody is to take it first.
    guard let id = SpaceID(wireText: params.id), !id.isVersion5 else { throw .refused(.invalidSpaceID) }
    guard params.rootPublicKey.isCompressedPoint else {
        throw .refused(RPCError(.badRequest, "invalid root public key"))
    }
    let result: SpaceCreateResult
    do {
        let space = try await context.services.spaces.createShared(
            id, rootPublicKey: params.rootPublicKey, for: context.principal)
        result = SpaceCreateResult(id: space.id, keyGeneration: space.keyGeneration)
    } catch {
        let failure = RPCError(error)
        throw context.refusal(
            failure.code == .internal ? RPCError(.internal, "failed to create space", cause: error) : failure,
            space: id)
    }
    try await context.respond(result)
    return RPCReport(outcome: .ok, space: id)
}

/// `membership.append` (docs/contract/rpc.md §8.1).
func appendMember(
    _ params: MembershipAppendParams, _ context: RPCContext
) async throws(RequestFailure) -> RPCReport {
    guard SpaceID(wireText: params.space) != nil else { throw .refused(.invalidSpaceID) }
    do {
        try await context.services.rateLimiter.check(.membershipAppend, by: context.principal)
        try params.checkEntry()
    } catch {
        throw context.refusal(error)
    }
    let grant: WriteGrant
    switch await context.authorizeWrite(to: params.space, ucan: params.ucan) {
    case .success(let granted): grant = granted
    case .failure(let error): throw context.refusal(error, space: SpaceID(wireText: params.space))
    }
    // Before the write: its answer is queued by storage's callback, which cannot wait.
    try await context.room()
    let outcome = Mutex(RPCOutcome.unanswered)
    await context.services.spaces.appendMember(params, to: grant, from: context.connectionID) { result in
        let answered: RPCOutcome
        switch result {
        case .success(let receipt):
            context.enqueue(
                result: MembershipAppendResult(
                    chainSequence: receipt.chainSequence, metadataVersion: receipt.metadataVersion))
            answered = .ok
        case .failure(let error):
            context.enqueue(error)
            context.logInternal(error, space: grant.space)
            answered = .refused(error.code)
        }
        outcome.withLock { $0 = answered }
    }
    let report = RPCReport(outcome: outcome.withLock { $0 }, space: grant.space)
    if report.outcome == .ok {
        await context.services.rateLimiter.record(.membershipAppend, by: context.principal)
    }
    return report
}

/// `membership.list` (docs/contract/rpc.md §8.2).
func listMembers(_ params: MembershipListParams, _ context: RPCContext) async throws(RequestFailure) -> RPCReport {
    let grant: ReadGrant
    switch await context.authorizeRead(of: params.space, ucan: params.ucan) {
    case .success(let granted): grant = granted
    case .failure(let error): throw context.refusal(error, space: SpaceID(wireText: params.space))
    }
    let result: MembershipListResult
    do {
        result = try await context.services.spaces.members(grant, since: params.sinceSequence)
    } catch {
        throw context.refusal(error, space: grant.space)
    }
    guard FrameEncoder.responseSize(id: context.requestID, result: result) <= Limits.messageBytesMax else {
        throw .refused(.membershipLogTooLarge)
    }
    try await context.respond(result, under: grant)
    return RPCReport(outcome: .ok, space: grant.space)
}

/// `membership.revoke` (docs/contract/rpc.md §8.3). The only method that notifies before it answers.
func revokeMember(_ params: MembershipRevokeParams, _ context: RPCContext) async throws(RequestFailure) -> RPCReport {
    guard !params.ucanCID.isEmpty else { throw .refused(RPCError(.badRequest, "invalid ucan cid")) }
    let grant: WriteGrant
    switch await context.authorizeWrite(to: params.space, ucan: params.ucan) {
    case .success(let granted): grant = granted
    case .failure(let error): throw context.refusal(error, space: SpaceID(wireText: params.space))
    }
    do {
        try await context.services.spaces.revoke(params.ucanCID, in: grant, from: context.connectionID)
    } catch {
        throw context.refusal(RPCError(.internal, "internal", cause: error), space: grant.space)
    }
    try await context.respond(EmptyMap())
    return RPCReport(outcome: .ok, space: grant.space)
}

extension MembershipAppendParams {
    /// Rows 3–5: what an entry must be whoever appends it.
    fileprivate func checkEntry() throws(RPCError) {
        guard self.entryHash.readableBytes == Limits.entryHashBytes else {
            throw RPCError(.badRequest, "entry_hash must be \(Limits.entryHashBytes) bytes")
        }
        guard self.payload.readableBytes > 0 else { throw RPCError(.badRequest, "payload must not be empty") }
        guard self.payload.readableBytes <= Limits.membershipPayloadBytesMax else {
            throw RPCError(.payloadTooLarge, "payload too large")
        }
        let hash = self.payload.withUnsafeReadableBytes { ContentHash.sha256($0) }
        guard self.entryHash.readableBytesView.elementsEqual(hash) else {
            throw RPCError(.badRequest, "entry_hash does not match SHA-256 of payload")
        }
    }
}

extension ByteBuffer {
    /// The form of a compressed P-256 point; whether there is such a point is not checked.
    fileprivate var isCompressedPoint: Bool {
        self.readableBytes == Limits.rootPublicKeyBytes && [2, 3].contains(self.readableBytesView.first)
    }
}
