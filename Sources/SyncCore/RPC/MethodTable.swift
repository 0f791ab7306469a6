import SyncProtocol

/// The methods of one kind of connection. A feature is a row; no handler asks who is calling.
struct MethodTable: Sendable {
    /// In which of a connection's two lanes a request runs (architecture R2).
    enum Lane: Sendable {
        /// One after another, in arrival order.
        case ordinary
        /// One at a time beside the ordinary lane, for answers of many chunks.
        case streaming
    }

    struct Request: Sendable {
        let method: Method
        let lane: Lane
        let run: @Sendable (FramePayload, RPCContext) async throws(RequestFailure) -> RPCReport

        /// - Parameter handle: Sends the answer unless it throws.
        init<Params: WireDecodable>(
            _ method: Method, in lane: Lane = .ordinary,
            _ handle: @escaping @Sendable (Params, RPCContext) async throws(RequestFailure) -> RPCReport
        ) {
            let invalidParams = RPCError(.invalidParams, method.invalidParamsMessage ?? "invalid params")
            self.method = method
            self.lane = lane
            self.run = { (payload, context) async throws(RequestFailure) -> RPCReport in
                let params: Params
                do {
                    params = try payload.decode()
                } catch {
                    throw .refused(invalidParams)
                }
                return try await handle(params, context)
            }
        }
    }

    /// Notifications never wait and never fail: undecodable ones have no effect.
    struct Notification: Sendable {
        let method: Method
        let run: @Sendable (FramePayload, RPCContext) -> Void

        init<Params: WireDecodable>(_ method: Method, _ handle: @escaping @Sendable (Params, RPCContext) -> Void) {
            self.method = method
            self.run = { payload, context in
                guard let params = try? payload.decode(as: Params.self) else { return }
                handle(params, context)
            }
        }
    }

    /// Label of requests that no row takes.
    static let unknownMethod = "unknown"

    private let requests: [String: Request]
    private let notifications: [String: Notification]

    init(requests: [Request], notifications: [Notification]) {
        self.requests = Dictionary(uniqueKeysWithValues: requests.map { ($0.method.rawValue, $0) })
        self.notifications = Dictionary(uniqueKeysWithValues: notifications.map { ($0.method.rawValue, $0) })
    }

    func request(_ method: String) -> Request? { self.requests[method] }

    func notification(_ method: String) -> Notification? { self.notifications[method] }
}

extension MethodTable {
    /// What a client may call (docs/contract/rpc.md §1).
    static let client = MethodTable(
        requests: [
            Request(.subscribe, subscribe),
            Request(.push, push),
            Request(.pull, in: .streaming, pull),
            Request(.tokenRefresh, refreshToken),
            Request(.spaceCreate, createSpace),
            Request(.membershipAppend, appendMember),
            Request(.membershipList, listMembers),
            Request(.membershipRevoke, revokeMember),
            Request(.invitationCreate, createInvitation),
            Request(.invitationList, listInvitations),
            Request(.invitationGet, getInvitation),
            Request(.invitationDelete, deleteInvitation),
            Request(.epochBegin, beginEpoch),
            Request(.epochComplete, completeEpoch),
            Request(.deksGet, in: .streaming, getRecordDEKs),
            Request(.deksRewrap, rewrapRecordDEKs),
            Request(.fileDEKsGet, in: .streaming, getFileDEKs),
            Request(.fileDEKsRewrap, rewrapFileDEKs),
            Request(.deksGetFiles, in: .streaming, getFileDEKs),
            Request(.deksRewrapFiles, rewrapFileDEKs),
        ],
        notifications: [
            Notification(.unsubscribe, unsubscribe),
            Notification(.presenceSet, setPresence),
            Notification(.presenceClear, clearPresence),
            Notification(.eventSend, sendEvent),
        ]
    )
}
