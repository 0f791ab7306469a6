import SyncAuth
import SyncProtocol
import SyncStorage

/// `invitation.create` (docs/contract/rpc.md §9.1). Anyone may write to any mailbox, and the answer does not tell whether
/// somebody reads it.
func createInvitation(
    _ params: InvitationCreateParams, _ context: RPCContext
) async throws(RequestFailure) -> RPCReport {
    do {
        try await context.services.rateLimiter.check(.invitation, by: context.principal)
        try params.check(ownDomains: context.services.configuration.ownDomains)
    } catch {
        throw context.refusal(error)
    }
    let invitation: Invitation
    do {
        invitation = try await context.services.mailboxes.createInvitation(
            in: params.mailboxID, payload: params.payload)
    } catch {
        throw context.refusal(RPCError(error))
    }
    await context.services.rateLimiter.record(.invitation, by: context.principal)
    context.services.invitations.schedule(params.mailboxID)
    try await context.respond(InvitationResult(invitation))
    return .ok
}

/// `invitation.list` (docs/contract/rpc.md §9.2): the caller's own mailbox, as much as fits into one message.
func listInvitations(_ params: InvitationListParams, _ context: RPCContext) async throws(RequestFailure) -> RPCReport {
    let after = InvitationID(wireText: params.after)
    guard after != nil || params.after.isEmpty else {
        throw .refused(RPCError(.badRequest, "invalid invitation cursor"))
    }
    let limit = params.limit > 0 ? min(Int(params.limit), Limits.invitationsPerPageMax) : Limits.invitationsPerPage
    let invitations: [Invitation]
    do {
        invitations = try await context.services.mailboxes.invitations(
            in: context.mailbox, after: after, limit: limit, bytesMax: Limits.messageBytesMax)
    } catch {
        throw context.refusal(RPCError(error))
    }
    var result = InvitationListResult(invitations: invitations.map(InvitationResult.init))
    while result.invitations.count > 1,
        FrameEncoder.responseSize(id: context.requestID, result: result) > Limits.messageBytesMax
    {
        result.invitations.removeLast()
    }
    try await context.respond(result)
    return .ok
}

/// `invitation.get` (docs/contract/rpc.md §9.3).
func getInvitation(_ params: InvitationIDParams, _ context: RPCContext) async throws(RequestFailure) -> RPCReport {
    guard let id = InvitationID(wireText: params.id) else { throw .refused(.invalidInvitationID) }
    let invitation: Invitation
    do {
        invitation = try await context.services.mailboxes.invitation(id, in: context.mailbox)
    } catch {
        throw context.refusal(RPCError(error))
    }
    try await context.respond(InvitationResult(invitation))
    return .ok
}

/// `invitation.delete` (docs/contract/rpc.md §9.4).
func deleteInvitation(_ params: InvitationIDParams, _ context: RPCContext) async throws(RequestFailure) -> RPCReport {
    guard let id = InvitationID(wireText: params.id) else { throw .refused(.invalidInvitationID) }
    do {
        try await context.services.mailboxes.deleteInvitation(id, in: context.mailbox)
    } catch {
        throw context.refusal(RPCError(error))
    }
    try await context.respond(EmptyMap())
    return .ok
}

extension RPCContext {
    /// Whose invitations the caller may read: those of its identity of now, not of registration.
    fileprivate var mailbox: String { MailboxKey(self.principal).deliveryKey }
}

extension InvitationCreateParams {
    /// Rows 2–6. Without federation there is no other server to deliver to, whatever it is called.
    fileprivate func check(ownDomains: Set<PeerDomain>) throws(RPCError) {
        guard !self.mailboxID.isEmpty else { throw RPCError(.badRequest, "missing mailbox_id") }
        let isHex = self.mailboxID.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
        guard isHex, self.mailboxID.utf8.count == Limits.mailboxIDCharacters else {
            throw RPCError(.badRequest, "mailbox_id must be \(Limits.mailboxIDCharacters)-char hex string")
        }
        guard !self.payload.isEmpty else { throw RPCError(.badRequest, "missing payload") }
        guard self.payload.utf8.count <= Limits.invitationPayloadBytesMax else {
            throw RPCError(.payloadTooLarge, "payload too large")
        }
        guard self.server.isEmpty || PeerDomain(self.server).map(ownDomains.contains) == true else {
            throw RPCError(.badRequest, "federation is not enabled on this server")
        }
    }
}

extension InvitationResult {
    fileprivate init(_ invitation: Invitation) {
        self.init(
            id: invitation.id.wireText, payload: invitation.payload,
            createdAt: WireTime.text(microseconds: invitation.createdAt),
            expiresAt: WireTime.text(microseconds: invitation.expiresAt))
    }
}

extension RPCError {
    fileprivate static let invalidInvitationID = RPCError(.badRequest, "invalid invitation id")
}
