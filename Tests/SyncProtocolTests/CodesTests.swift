import SyncProtocol
import Testing

@Suite("Codes and constants")
struct CodesTests {
    @Test("wire §1: subprotocols of both families")
    func families() {
        #expect(ProtocolFamily.allCases.map(\.subprotocol) == ["less-rpc-v1", "betterbase-rpc-v1"])
    }

    @Test("C1: each family has its word for an epoch that could not be begun")
    func epochConflict() {
        #expect(ProtocolFamily.allCases.map(\.epochConflict) == ["conflict", "epoch_conflict"])
    }

    @Test("rpc §2.2: error codes as on the wire")
    func errorCodes() {
        #expect(
            RPCErrorCode.allCases.map(\.rawValue) == [
                "invalid_params", "bad_request", "forbidden", "not_found", "conflict", "rate_limited",
                "payload_too_large", "method_not_found", "internal", "key_generation_stale",
            ]
        )
    }

    @Test(
        "wire §10: close codes and reasons",
        arguments: [
            (CloseFrame.goingAway, 1001, "server shutting down"),
            (.messageTooBig, 1009, "message too big"),
            (.lifetimeReached, 4001, "connection timeout"),
            (.tokenExpired, 4001, "token expired"),
            (.tooManyConnections, 4003, "too many connections"),
            (.slowConsumer, 4006, "slow consumer"),
            (.authFailed("auth timeout"), 4000, "auth timeout"),
            (.protocolError("expected binary rpc frame"), 4005, "expected binary rpc frame"),
        ]
    )
    func closes(frame: CloseFrame, code: UInt16, reason: String) {
        #expect(frame == CloseFrame(code: code, reason: reason))
    }

    @Test(
        "rpc §2.1: each request has its message for undecodable params, a notification has none",
        arguments: [
            (Method.auth, Method.Kind.clientNotification, nil),
            (.subscribe, .request, "invalid subscribe params"),
            (.unsubscribe, .clientNotification, nil),
            (.push, .request, "invalid push params"),
            (.pull, .request, "invalid pull params"),
            (.tokenRefresh, .request, "invalid token refresh params"),
            (.spaceCreate, .request, "invalid space create params"),
            (.membershipAppend, .request, "invalid membership append params"),
            (.membershipList, .request, "invalid membership list params"),
            (.membershipRevoke, .request, "invalid membership revoke params"),
            (.invitationCreate, .request, "invalid invitation create params"),
            (.invitationList, .request, "invalid invitation list params"),
            (.invitationGet, .request, "invalid invitation get params"),
            (.invitationDelete, .request, "invalid invitation delete params"),
            (.epochBegin, .request, "invalid epoch begin params"),
            (.epochComplete, .request, "invalid epoch complete params"),
            (.deksGet, .request, "invalid deks get params"),
            (.deksRewrap, .request, "invalid deks rewrap params"),
            (.fileDEKsGet, .request, "invalid file deks get params"),
            (.fileDEKsRewrap, .request, "invalid file deks rewrap params"),
            (.deksGetFiles, .request, "invalid file deks get params"),
            (.deksRewrapFiles, .request, "invalid file deks rewrap params"),
            (.presenceSet, .clientNotification, nil),
            (.presenceClear, .clientNotification, nil),
            (.eventSend, .clientNotification, nil),
            (.sync, .serverNotification, nil),
            (.membership, .serverNotification, nil),
            (.file, .serverNotification, nil),
            (.revoked, .serverNotification, nil),
            (.invitation, .serverNotification, nil),
            (.presence, .serverNotification, nil),
            (.presenceLeave, .serverNotification, nil),
            (.event, .serverNotification, nil),
            (.resubscribe, .serverNotification, nil),
        ] as [(Method, Method.Kind, String?)]
    )
    func methods(method: Method, kind: Method.Kind, message: String?) {
        #expect(method.kind == kind)
        #expect(method.invalidParamsMessage == message)
    }

    @Test("rpc §1: method names as on the wire")
    func methodNames() {
        #expect(
            Method.allCases.map(\.rawValue) == [
                "auth", "subscribe", "unsubscribe", "push", "pull", "token.refresh", "space.create",
                "membership.append", "membership.list", "membership.revoke", "invitation.create", "invitation.list",
                "invitation.get", "invitation.delete", "epoch.begin", "epoch.complete", "deks.get", "deks.rewrap",
                "file.deks.get", "file.deks.rewrap", "deks.getFiles", "deks.rewrapFiles", "presence.set",
                "presence.clear", "event.send", "sync", "membership", "file", "revoked", "invitation", "presence",
                "presence.leave", "event", "resubscribe",
            ]
        )
    }
}
