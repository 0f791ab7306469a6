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

    // In effect before the cursors are read, so that a write falls into the answer or into a notification, never between.
    let broker = context.services.broker
    let relay = context.services.spaces.relay
    let grants = decisions.compactMap { try? $0.get() }
    let spaces = Set(grants.map(\.space))
    relay.openingBegins(spaces)
    let attempts = broker.subscribe(context.connectionID, to: grants)
    let states = await context.services.spaces.states(of: grants)
    relay.openingEnds(spaces, at: states.compactMapValues { try? $0.get().cursor })

    try await context.room()
    let outcomes = zip(grants, attempts).map { grant, attempt in
        (attempt: attempt, hasSucceeded: (try? states[grant.space]?.get()) != nil)
    }
    broker.settle(context.connectionID, outcomes) { objections in
        var objection = objections.makeIterator()
        let rows = decisions.map { decision in
            decision.flatMap { context.row(of: $0, in: states, objection: objection.next() ?? nil) }
        }
        context.enqueue(result: context.subscribeResult(params.spaces, rows))
    }
    return .ok
}

extension RPCContext {
    fileprivate func row(
        of grant: ReadGrant, in states: [SpaceID: Result<Space, StorageError>], objection: AuthorizationError?
    ) -> Result<Space, RPCError> {
        if let objection { return .failure(self.refusal(objection, of: grant.space)) }
        return (states[grant.space] ?? .failure(.spaceNotFound)).mapError { failure in
            let error = RPCError(failure)
            self.logInternal(error, space: grant.space)
            return error
        }
    }

    /// - Parameter rows: For each entry its space, or why there is no subscription.
    fileprivate func subscribeResult(
        _ entries: [SubscribeParams.Entry], _ rows: [Result<Space, RPCError>]
    ) -> SubscribeResult {
        var result = SubscribeResult(spaces: [])
        var peers: [(index: Int, space: SpaceID)] = []
        for (entry, row) in zip(entries, rows) {
            switch row {
            case .success(let space):
                result.spaces.append(
                    .init(
                        id: entry.id, cursor: space.cursor, keyGeneration: space.keyGeneration,
                        rewrapEpoch: space.rewrapEpoch))
                if entry.presence { peers.append((result.spaces.count - 1, space.id)) }
            case .failure(let error):
                result.errors.append(
                    .init(space: entry.id.prefix(utf8Max: Limits.echoedSpaceIDBytesMax), error: error.code))
            }
        }
        self.addPeers(to: &result, peers)
        return result
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

extension String {
    /// At most so many bytes, whole scalars all of them.
    fileprivate func prefix(utf8Max: Int) -> String {
        guard self.utf8.count > utf8Max else { return self }
        // Bytes 10xxxxxx go on with a scalar, and the cut is in front of one.
        var bytes = self.utf8.prefix(utf8Max + 1)
        while let last = bytes.popLast(), last & 0xC0 == 0x80 {}
        return String(decoding: bytes, as: UTF8.self)
    }
}
