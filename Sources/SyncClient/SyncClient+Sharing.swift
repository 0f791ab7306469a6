public import NIOCore
public import SyncProtocol

// Spaces of several people. A `ucan` is the text of a delegation chain that ends with this client; it is empty for the
// caller's own personal space.

// MARK: - Spaces and members

extension SyncClient {
    /// Creates a shared space (docs/contract/rpc.md §7). From then on whoever holds a delegation of its root key has access,
    /// the creator included.
    ///
    /// - Parameters:
    ///   - id: Random; a derived one, of version 5, is refused.
    ///   - rootPublicKey: A P-256 point in compressed form, 33 bytes.
    /// - Throws: `.refused` with `conflict` when the space exists.
    public func createSpace(
        _ id: SpaceID, rootPublicKey: ByteBuffer
    ) async throws(SyncClientError) -> SpaceCreateResult {
        try await self.call(.spaceCreate, SpaceCreateParams(id: id.wireText, rootPublicKey: rootPublicKey))
    }

    /// Appends one entry to the membership log of a space (docs/contract/rpc.md §8.1). Its `entryHash` is SHA-256 of its
    /// payload, its `previousHash` that of the entry before.
    ///
    /// - Throws: `.refused` with `conflict` when somebody else was first: list and try again.
    public func appendMember(_ params: MembershipAppendParams) async throws(SyncClientError) -> MembershipAppendResult {
        try await self.call(.membershipAppend, params)
    }

    /// The membership log of a space behind entry `sequence`, 0 for all of it, and its version (docs/contract/rpc.md §8.2).
    ///
    /// - Throws: `.refused` with `forbidden` when this client has no access (any more).
    public func members(
        of space: SpaceID, since sequence: Int32 = 0, ucan: String = ""
    ) async throws(SyncClientError) -> MembershipListResult {
        try await self.call(
            .membershipList, MembershipListParams(space: space.wireText, ucan: ucan, sinceSequence: sequence))
    }

    /// Takes a delegation back in one space, for ever, and with it every chain that contains it
    /// (docs/contract/rpc.md §8.3). When this returns, nothing of the space reaches who depended on it.
    ///
    /// - Parameter cid: Of the token: lower-case hexadecimal SHA-256 of its text.
    public func revoke(_ cid: String, in space: SpaceID, ucan: String = "") async throws(SyncClientError) {
        let params = MembershipRevokeParams(space: space.wireText, ucan: ucan, ucanCID: cid)
        let _: EmptyMap = try await self.call(.membershipRevoke, params)
    }
}

// MARK: - Invitations

extension SyncClient {
    /// Puts something into a mailbox for 7 days (docs/contract/rpc.md §9.1). Whether somebody reads it is not told.
    ///
    /// - Parameters:
    ///   - mailboxID: 64 lower-case hexadecimal digits.
    ///   - payload: Goes out as it is given: encrypt before. At most `Limits.invitationPayloadBytesMax` bytes of UTF-8.
    ///   - server: Domain or URL of the server that keeps the mailbox; empty for the one connected to.
    public func invite(
        _ mailboxID: String, payload: String, server: String = ""
    ) async throws(SyncClientError) -> InvitationResult {
        try await self.call(
            .invitationCreate, InvitationCreateParams(mailboxID: mailboxID, payload: payload, server: server))
    }

    /// A page of this user's own mailbox, oldest first (docs/contract/rpc.md §9.2). An empty page is the end.
    ///
    /// - Parameters:
    ///   - limit: Items at most; 0 leaves it to the server. A page may hold fewer although more follow.
    ///   - after: Id of the last item seen; empty for the first page.
    public func invitations(
        limit: Int32 = 0, after: String = ""
    ) async throws(SyncClientError) -> [InvitationResult] {
        let result: InvitationListResult = try await self.call(
            .invitationList, InvitationListParams(limit: limit, after: after))
        return result.invitations
    }

    /// - Throws: `.refused` with `not_found` when there is none (any more) in this user's mailbox.
    public func invitation(_ id: String) async throws(SyncClientError) -> InvitationResult {
        try await self.call(.invitationGet, InvitationIDParams(id: id))
    }

    /// - Throws: `.refused` with `not_found` when there is none (any more) in this user's mailbox.
    public func deleteInvitation(_ id: String) async throws(SyncClientError) {
        let _: EmptyMap = try await self.call(.invitationDelete, InvitationIDParams(id: id))
    }
}

// MARK: - Presence and events

extension SyncClient {
    /// Shows something of this device to the other subscribers of a space that this client is subscribed to, until it is
    /// cleared, the subscription or the connection ends, or 45 s have passed (docs/contract/rpc.md §12): repeat it every
    /// 30 s. There is no answer.
    ///
    /// - Parameter data: Goes out as it is given: encrypt before. More than `Limits.presenceBytesMax` bytes have no effect.
    public func setPresence(_ data: ByteBuffer, in space: SpaceID) async throws(SyncClientError) {
        let params = PresenceParams(space: space.wireText, data: data)
        try await self.send(FrameEncoder.notification(method: .presenceSet, params: params))
    }

    /// Shows nothing any more. There is no answer.
    public func clearPresence(in space: SpaceID) async throws(SyncClientError) {
        let params = PresenceClearParams(space: space.wireText)
        try await self.send(FrameEncoder.notification(method: .presenceClear, params: params))
    }

    /// Says something to whoever is subscribed to a space now, if this client is too (docs/contract/rpc.md §13). Nothing is
    /// kept, and there is no answer.
    ///
    /// - Parameter data: Goes out as it is given: encrypt before. More than `Limits.eventBytesMax` bytes have no effect.
    public func sendEvent(_ data: ByteBuffer, to space: SpaceID) async throws(SyncClientError) {
        let params = PresenceParams(space: space.wireText, data: data)
        try await self.send(FrameEncoder.notification(method: .eventSend, params: params))
    }
}
