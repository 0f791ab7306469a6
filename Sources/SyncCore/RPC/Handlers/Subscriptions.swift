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
    let added = Set(context.services.broker.subscribe(context.connectionID, to: grants.map(\.space)))
    let states = await context.services.spaces.states(of: grants)

    var result = SubscribeResult(spaces: [])
    var peers: [(index: Int, space: SpaceID)] = []
    for (entry, decision) in zip(params.spaces, decisions) {
        switch decision.flatMap({ grant in (states[grant.space] ?? .failure(.spaceNotFound)).mapError(RPCError.init) })
        {
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
    let failed = states.filter { if case .failure = $0.value { added.contains($0.key) } else { false } }
    context.services.broker.unsubscribe(context.connectionID, from: failed.keys)

    context.addPeers(to: &result, peers)
    try await context.respond(result)
    return .ok
}

extension RPCContext {
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

extension RPCContext {
    /// The first two steps of every request on a space for reading: its id, then the caller's right.
    func authorizeRead(of space: String, ucan: String) async -> Result<ReadGrant, RPCError> {
        guard let space = SpaceID(wireText: space) else { return .failure(.invalidSpaceID) }
        do {
            return .success(try await self.services.authorizer.authorizeRead(self.principal, of: space, ucan: ucan))
        } catch {
            return .failure(RPCError(error))
        }
    }

    /// As `authorizeRead`, for writing.
    func authorizeWrite(to space: String, ucan: String) async -> Result<WriteGrant, RPCError> {
        guard let space = SpaceID(wireText: space) else { return .failure(.invalidSpaceID) }
        do {
            return .success(try await self.services.authorizer.authorizeWrite(self.principal, to: space, ucan: ucan))
        } catch {
            return .failure(RPCError(error))
        }
    }
}
