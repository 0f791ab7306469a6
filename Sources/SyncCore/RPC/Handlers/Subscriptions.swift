import SyncProtocol
import SyncStorage

/// `subscribe` (docs/contract/rpc.md §3.1). One failing entry never affects the others.
func subscribe(_ params: SubscribeParams, _ context: RPCContext) async throws(RequestFailure) -> RPCReport {
    guard params.spaces.count <= Limits.spacesPerRequestMax else {
        throw .refused(RPCError(.badRequest, "too many spaces in subscribe request"))
    }
    var decisions: [Result<ReadGrant, RPCError>] = []
    decisions.reserveCapacity(params.spaces.count)
    for entry in params.spaces {
        decisions.append(await context.authorizeRead(of: entry.id, ucan: entry.ucan))
    }

    // Registered before the cursors are read, so that a write falls into the answer or into a notification, never between.
    let grants = decisions.compactMap { try? $0.get() }
    let relay = context.services.spaces.relay
    let spaces = Set(grants.map(\.space))
    relay.openingBegins(spaces)
    let (objections, added) = context.services.broker.subscribe(context.connectionID, to: grants)
    var objection = objections.makeIterator()
    decisions = decisions.map { decision in
        decision.flatMap { grant in
            (objection.next() ?? nil).map { .failure(context.refusal($0, of: grant.space)) } ?? .success(grant)
        }
    }
    let states = await context.services.spaces.states(of: decisions.compactMap { try? $0.get() })

    var result = SubscribeResult(spaces: [])
    var peers: [(index: Int, space: SpaceID)] = []
    for (entry, decision) in zip(params.spaces, decisions) {
        switch decision.flatMap({ context.stateIfSubscribed($0, states) }) {
        case .success(let space):
            result.spaces.append(
                .init(
                    id: entry.id, cursor: space.cursor, keyGeneration: space.keyGeneration,
                    rewrapEpoch: space.rewrapEpoch))
            if entry.presence { peers.append((result.spaces.count - 1, space.id)) }
        case .failure(let error):
            context.logInternal(error, space: try? decision.get().space)
            result.errors.append(.init(space: entry.id, error: error.code))
        }
    }
    let failed = added.filter { if case .failure = states[$0] { true } else { false } }
    context.services.broker.unsubscribe(context.connectionID, from: failed)
    relay.openingEnds(spaces, at: states.compactMapValues { try? $0.get().cursor })

    context.addPeers(to: &result, peers)
    try await context.respond(result)
    return .ok
}

extension RPCContext {
    /// What the answer says of a space. A delegation that was revoked while the row was read has ended the subscription.
    fileprivate func stateIfSubscribed(
        _ grant: ReadGrant, _ states: [SpaceID: Result<Space, StorageError>]
    ) -> Result<Space, RPCError> {
        let state = (states[grant.space] ?? .failure(.spaceNotFound)).mapError { RPCError($0) }
        guard case .success = state else { return state }
        let objection = self.services.revocations.objection(to: grant.delegation, since: grant.mark)
        return objection.map { .failure(self.refusal($0, of: grant.space)) } ?? state
    }

    /// Tells who is present, for as many of the spaces as fit into one message: the last ones go without
    /// (docs/contract/rpc.md §2.6).
    ///
    /// - Parameter asked: For which entries of the result, ascending.
    fileprivate func addPeers(to result: inout SubscribeResult, _ asked: [(index: Int, space: SpaceID)]) {
        guard !asked.isEmpty else { return }
        var size = FrameEncoder.responseSize(id: self.requestID, result: result)
        for (index, space) in asked {
            var entry = result.spaces[index]
            let sizeWithoutPeers = entry.encodedSize
            entry.peers = self.services.presence.peers(in: space, except: self.connectionID)
            size += entry.encodedSize - sizeWithoutPeers
            guard size <= Limits.messageBytesMax else { return }
            result.spaces[index] = entry
        }
    }
}

/// `unsubscribe` (docs/contract/rpc.md §3.2).
func unsubscribe(_ params: UnsubscribeParams, _ context: RPCContext) {
    let spaces = params.spaces.compactMap(SpaceID.init(wireText:))
    context.services.broker.unsubscribe(context.connectionID, from: spaces)
    for space in spaces { context.services.presence.subscriptionEnded(context.connectionID, to: space) }
}
