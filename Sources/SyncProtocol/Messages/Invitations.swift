/// `invitation.create` (docs/contract/rpc.md §9.1).
public struct InvitationCreateParams: Hashable, Sendable {
    /// Whose mailbox, 64 lower-case hexadecimal digits.
    public var mailboxID: String
    /// Opaque, 1...`Limits.invitationPayloadBytesMax` bytes of UTF-8.
    public var payload: String
    /// Domain of the server that keeps the mailbox; empty for this one.
    public var server: String

    public init(mailboxID: String, payload: String, server: String = "") {
        self.mailboxID = mailboxID
        self.payload = payload
        self.server = server
    }
}

/// `invitation.list` (docs/contract/rpc.md §9.2). Lists the caller's own mailbox.
public struct InvitationListParams: Hashable, Sendable {
    /// 0 or less: `Limits.invitationsPerPage`. At most `Limits.invitationsPerPageMax` are listed.
    public var limit: Int32
    /// Id of the last item seen; empty for the first page.
    public var after: String

    public init(limit: Int32 = 0, after: String = "") {
        self.limit = limit
        self.after = after
    }
}

/// `invitation.get` and `invitation.delete` (docs/contract/rpc.md §9.3). The result of the latter is an `EmptyMap`.
public struct InvitationIDParams: Hashable, Sendable {
    /// As sent; not yet known to be a UUID.
    public var id: String

    public init(id: String) { self.id = id }
}

/// Result of `invitation.create` and `invitation.get`, and an item of `invitation.list`.
public struct InvitationResult: Hashable, Sendable {
    /// A UUID, or `forwarded` for one that another server keeps.
    public var id: String
    public var payload: String
    /// RFC 3339 in UTC with `Z`, up to microseconds; empty for one that another server keeps.
    public var createdAt: String
    /// As `createdAt`; 7 days later.
    public var expiresAt: String

    public init(id: String, payload: String, createdAt: String, expiresAt: String) {
        self.id = id
        self.payload = payload
        self.createdAt = createdAt
        self.expiresAt = expiresAt
    }
}

/// Result of `invitation.list`: oldest first.
public struct InvitationListResult: Hashable, Sendable {
    public var invitations: [InvitationResult]

    public init(invitations: [InvitationResult]) { self.invitations = invitations }
}

extension InvitationCreateParams: WireMap {
    static let fields = WireFields(
        Self(mailboxID: "", payload: ""),
        .optional("server", \.server, unless: ""), .required("payload", \.payload),
        .required("mailbox_id", \.mailboxID))
}

extension InvitationListParams: WireMap {
    static let fields = WireFields(
        Self(), .optional("after", \.after, unless: ""), .optional("limit", \.limit, unless: 0))
}

extension InvitationIDParams: WireMap {
    static let fields = WireFields(Self(id: ""), .required("id", \.id))
}

extension InvitationResult: WireMap {
    static let fields = WireFields(
        Self(id: "", payload: "", createdAt: "", expiresAt: ""),
        .required("id", \.id), .required("payload", \.payload), .required("created_at", \.createdAt),
        .required("expires_at", \.expiresAt))
}

extension InvitationListResult: WireMap {
    static let fields = WireFields(Self(invitations: []), .required("invitations", \.invitations))
}
