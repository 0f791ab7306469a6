import SyncProtocol
import SyncStorage

/// `epoch.begin` (docs/contract/rpc.md §10.1). Of those who begin the same epoch one succeeds; the others get a result that
/// says so, in the words of their protocol family.
func beginEpoch(_ params: EpochBeginParams, _ context: RPCContext) async throws(RequestFailure) -> RPCReport {
    let grant: WriteGrant
    switch await context.authorizeWrite(to: params.space, ucan: params.ucan) {
    case .success(let granted): grant = granted
    case .failure(let error): throw context.refusal(error, space: SpaceID(wireText: params.space))
    }
    let result: EpochBeginResult
    do {
        try await context.services.spaces.beginEpoch(
            params.epoch, setsMinimum: params.setsMinKeyGeneration, in: grant)
        result = .begun(epoch: params.epoch)
    } catch .epochConflict(let current, let rewrap) {
        result = .conflict(
            EpochConflict(
                error: context.session.family.epochConflict, currentEpoch: current, rewrapEpoch: rewrap))
    } catch {
        throw context.refusal(RPCError(error), space: grant.space)
    }
    try await context.respond(result)
    if case .conflict = result { return RPCReport(outcome: .refused(.conflict), space: grant.space) }
    return RPCReport(outcome: .ok, space: grant.space)
}

/// `epoch.complete` (docs/contract/rpc.md §10.2). How much was rewrapped is the client's business.
func completeEpoch(_ params: EpochCompleteParams, _ context: RPCContext) async throws(RequestFailure) -> RPCReport {
    let grant: WriteGrant
    switch await context.authorizeWrite(to: params.space, ucan: params.ucan) {
    case .success(let granted): grant = granted
    case .failure(let error): throw context.refusal(error, space: SpaceID(wireText: params.space))
    }
    do {
        try await context.services.spaces.completeEpoch(params.epoch, in: grant)
    } catch {
        throw context.refusal(RPCError(error), space: grant.space)
    }
    try await context.respond(EmptyMap())
    return RPCReport(outcome: .ok, space: grant.space)
}
