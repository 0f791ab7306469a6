package import SyncProtocol

/// One row of `invitations` (docs/contract/storage.md §2.6).
package struct Invitation: Hashable, Sendable {
    package var id: InvitationID
    /// 64 characters.
    package var mailboxID: String
    /// Opaque text.
    package var payload: String
    /// Microseconds since 1970.
    package var createdAt: Int64
    /// Microseconds since 1970; 7 days after `createdAt`.
    package var expiresAt: Int64

    package init(id: InvitationID, mailboxID: String, payload: String, createdAt: Int64, expiresAt: Int64) {
        self.id = id
        self.mailboxID = mailboxID
        self.payload = payload
        self.createdAt = createdAt
        self.expiresAt = expiresAt
    }
}

/// Mailboxes of invitations (docs/contract/storage.md §8.1). An invitation is expired once its `expiresAt` is not in the
/// future.
package protocol InvitationStore: Sendable {
    /// Stores an invitation that expires in 7 days, under a random id.
    ///
    /// - Throws: `.database` for a mailbox id of more than 64 characters.
    func createInvitation(in mailbox: String, payload: String) async throws(StorageError) -> Invitation

    /// Unexpired invitations of the mailbox, by `createdAt`, then id.
    ///
    /// - Parameters:
    ///   - after: Only those behind this one, which may be expired. One that is not in the mailbox: none.
    ///   - limit: At most this many; 0: none.
    ///   - bytesMax: Bytes of payloads to stop at; the first one always fits.
    func invitations(
        in mailbox: String, after: InvitationID?, limit: Int, bytesMax: Int
    ) async throws(StorageError) -> [Invitation]

    /// - Throws: `.invitationNotFound`, also for one that is expired or in another mailbox.
    func invitation(_ id: InvitationID, in mailbox: String) async throws(StorageError) -> Invitation

    /// Deletes an invitation, expired or not.
    ///
    /// - Throws: `.invitationNotFound`, also for one in another mailbox.
    func deleteInvitation(_ id: InvitationID, in mailbox: String) async throws(StorageError)

    /// Removes expired ones. Several servers may do so at once.
    ///
    /// - Parameter limit: At most this many, 1 or more.
    /// - Returns: How many were removed. When fewer than `limit`, none are left, or another server removes them.
    func purgeExpiredInvitations(limit: Int) async throws(StorageError) -> Int
}
