import SyncProtocol
import Synchronization

/// `push` (docs/contract/rpc.md §4). Every refusal is a result, never an error response.
func push(_ params: PushParams, _ context: RPCContext) async throws(RequestFailure) -> RPCReport {
    // Before the write: its answer is queued by storage's callback, which cannot wait.
    try await context.room()
    let grant: WriteGrant
    switch await context.authorizeWrite(to: params.space, ucan: params.ucan) {
    case .success(let granted): grant = granted
    case .failure(let error):
        return RPCReport(outcome: answerPush(.failure(error), SpaceID(wireText: params.space), context))
    }
    let outcome = Mutex(RPCOutcome.unanswered)
    await context.services.spaces.push(params.changes, to: grant, from: context.connectionID) { result in
        let answered = answerPush(result, grant.space, context)
        outcome.withLock { $0 = answered }
    }
    return RPCReport(outcome: outcome.withLock { $0 }, space: grant.space)
}

private func answerPush(
    _ result: Result<Int64, RPCError>, _ space: SpaceID?, _ context: RPCContext
) -> RPCOutcome {
    switch result {
    case .success(let cursor):
        context.enqueue(result: PushResult.accepted(cursor: cursor))
        return .ok
    case .failure(let error):
        context.enqueue(result: PushResult.refused(error.code))
        context.logInternal(error, space: space)
        return .refused(error.code)
    }
}
