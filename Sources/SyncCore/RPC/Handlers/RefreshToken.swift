import SyncAuth
import SyncProtocol

/// `token.refresh` (docs/contract/rpc.md §6): replaces the identity of later requests, or changes nothing.
func refreshToken(_ params: TokenParams, _ context: RPCContext) async throws(RequestFailure) -> RPCReport {
    let refusal = await refusalOfRefresh(params.token, context)
    try await context.respond(TokenRefreshResult(error: refusal))
    return RPCReport(outcome: refusal == nil ? .ok : .declined)
}

private func refusalOfRefresh(_ token: String, _ context: RPCContext) async -> String? {
    guard !token.isEmpty else { return TokenError.missing.refreshError }
    let principal: Principal
    do {
        principal = try await context.services.tokens.validate(token)
    } catch {
        return error.refreshError
    }
    guard principal.hasScope(.sync) else { return "sync scope required" }
    let known = context.principal
    guard principal.userID.hasSameBytes(as: known.userID), principal.clientID.hasSameBytes(as: known.clientID) else {
        return "token identity mismatch"
    }
    context.session.refresh(principal)
    return nil
}
