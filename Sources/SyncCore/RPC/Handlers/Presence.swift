import SyncProtocol

// Notifications have no answer: whatever is wrong with one, it has no effect (docs/contract/rpc.md §12, §13).

/// `presence.set`.
func setPresence(_ params: PresenceParams, _ context: RPCContext) {
    guard let space = SpaceID(wireText: params.space) else { return }
    context.services.presence.set(params.data, of: context.connectionID, in: space)
}

/// `presence.clear`.
func clearPresence(_ params: PresenceClearParams, _ context: RPCContext) {
    guard let space = SpaceID(wireText: params.space) else { return }
    context.services.presence.clear(context.connectionID, in: space)
}

/// `event.send`.
func sendEvent(_ params: PresenceParams, _ context: RPCContext) {
    guard let space = SpaceID(wireText: params.space) else { return }
    context.services.presence.send(event: params.data, from: context.connectionID, to: space)
}
