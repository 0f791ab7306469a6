package import SyncAuth

/// The two keys under which a connection is counted and found (docs/contract/wire.md §11, §20 row 20). Fixed at
/// registration: `token.refresh` does not move them.
package struct MailboxKey: Hashable, Sendable {
    /// What `connectionsPerMailboxMax` counts: the mailbox id, else client id + NUL + user id.
    package let limitKey: String
    /// Where invitations are delivered: the mailbox id, else the client id.
    package let deliveryKey: String

    package init(_ principal: Principal) {
        if principal.mailboxID.isEmpty {
            self.limitKey = principal.clientID + "\0" + principal.userID
            self.deliveryKey = principal.clientID
        } else {
            self.limitKey = principal.mailboxID
            self.deliveryKey = principal.mailboxID
        }
    }
}
