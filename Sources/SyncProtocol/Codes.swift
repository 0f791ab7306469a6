/// `code` of an error response and of the results that carry one (docs/contract/rpc.md §2.2).
public enum RPCErrorCode: String, Hashable, Sendable, CaseIterable {
    case invalidParams = "invalid_params"
    case badRequest = "bad_request"
    case forbidden
    case notFound = "not_found"
    case conflict
    case rateLimited = "rate_limited"
    case payloadTooLarge = "payload_too_large"
    case methodNotFound = "method_not_found"
    case `internal`
    case keyGenerationStale = "key_generation_stale"
}

extension CloseFrame {
    public static let goingAway = CloseFrame(code: 1001, reason: "server shutting down")
    public static let messageTooBig = CloseFrame(code: 1009, reason: "message too big")
    public static let lifetimeReached = CloseFrame(code: 4001, reason: "connection timeout")
    public static let tokenExpired = CloseFrame(code: 4001, reason: "token expired")
    public static let tooManyConnections = CloseFrame(code: 4003, reason: "too many connections")
    public static let slowConsumer = CloseFrame(code: 4006, reason: "slow consumer")

    /// Handshake failures; the reasons are those of docs/contract/wire.md §4.
    public static func authFailed(_ reason: String) -> CloseFrame { CloseFrame(code: 4000, reason: reason) }

    /// Protocol errors of an open connection (docs/contract/wire.md §5.1).
    public static func protocolError(_ reason: String) -> CloseFrame { CloseFrame(code: 4005, reason: reason) }
}

/// `type` of a frame (docs/contract/wire.md §5).
public enum FrameType: Int32, Sendable {
    case request = 0
    case response = 1
    case notification = 2
    case chunk = 3
}

/// `method` of a frame: those that exist so far (docs/contract/rpc.md §1).
public enum Method: String, Hashable, Sendable, CaseIterable {
    case auth
    case subscribe
    case unsubscribe
    case push
    case pull
    case tokenRefresh = "token.refresh"
    case spaceCreate = "space.create"
    case membershipAppend = "membership.append"
    case membershipList = "membership.list"
    case membershipRevoke = "membership.revoke"
    case invitationCreate = "invitation.create"
    case invitationList = "invitation.list"
    case invitationGet = "invitation.get"
    case invitationDelete = "invitation.delete"
    case epochBegin = "epoch.begin"
    case epochComplete = "epoch.complete"
    case deksGet = "deks.get"
    case deksRewrap = "deks.rewrap"
    case fileDEKsGet = "file.deks.get"
    case fileDEKsRewrap = "file.deks.rewrap"
    /// What the SDK calls `file.deks.get`.
    case deksGetFiles = "deks.getFiles"
    /// What the SDK calls `file.deks.rewrap`.
    case deksRewrapFiles = "deks.rewrapFiles"
    case presenceSet = "presence.set"
    case presenceClear = "presence.clear"
    case eventSend = "event.send"
    case sync
    case membership
    case file
    case revoked
    case invitation
    case presence
    case presenceLeave = "presence.leave"
    case event
    case resubscribe

    public enum Kind: Hashable, Sendable {
        case request
        case clientNotification
        case serverNotification
    }

    /// A method in a frame of another kind does not exist: `method_not_found` for a request, nothing for a notification.
    public var kind: Kind {
        switch self {
        case .subscribe, .push, .pull, .tokenRefresh, .spaceCreate, .membershipAppend, .membershipList,
            .membershipRevoke, .invitationCreate, .invitationList, .invitationGet, .invitationDelete, .epochBegin,
            .epochComplete, .deksGet, .deksRewrap, .fileDEKsGet, .fileDEKsRewrap, .deksGetFiles, .deksRewrapFiles:
            .request
        case .auth, .unsubscribe, .presenceSet, .presenceClear, .eventSend: .clientNotification
        case .sync, .membership, .file, .revoked, .invitation, .presence, .presenceLeave, .event, .resubscribe:
            .serverNotification
        }
    }

    /// `message` of the error `invalid_params`; `nil` for a notification (docs/contract/rpc.md §2.1).
    public var invalidParamsMessage: String? {
        switch self {
        case .subscribe: "invalid subscribe params"
        case .push: "invalid push params"
        case .pull: "invalid pull params"
        case .tokenRefresh: "invalid token refresh params"
        case .spaceCreate: "invalid space create params"
        case .membershipAppend: "invalid membership append params"
        case .membershipList: "invalid membership list params"
        case .membershipRevoke: "invalid membership revoke params"
        case .invitationCreate: "invalid invitation create params"
        case .invitationList: "invalid invitation list params"
        case .invitationGet: "invalid invitation get params"
        case .invitationDelete: "invalid invitation delete params"
        case .epochBegin: "invalid epoch begin params"
        case .epochComplete: "invalid epoch complete params"
        case .deksGet: "invalid deks get params"
        case .deksRewrap: "invalid deks rewrap params"
        case .fileDEKsGet, .deksGetFiles: "invalid file deks get params"
        case .fileDEKsRewrap, .deksRewrapFiles: "invalid file deks rewrap params"
        case .auth, .unsubscribe, .presenceSet, .presenceClear, .eventSend, .sync, .membership, .file, .revoked,
            .invitation, .presence, .presenceLeave, .event, .resubscribe:
            nil
        }
    }
}

/// `name` of a chunk (docs/contract/rpc.md §5, §11).
public enum ChunkName: String, Hashable, Sendable, CaseIterable {
    case pullBegin = "pull.begin"
    case pullRecord = "pull.record"
    case pullMembership = "pull.membership"
    case pullFile = "pull.file"
    case pullCommit = "pull.commit"
    case deksRecord = "deks.record"
    case deksFilesRecord = "deks.files.record"
}
