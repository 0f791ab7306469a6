package import SyncProtocol
package import SyncStorage

/// The only caller of storage writes, and the place where a change becomes a notification. Takes grants, so that nothing
/// unauthorized compiles.
package struct SpaceService: Sendable {
    let storage: any Storage
    let broker: Broker
    let relay: ChangeRelay
    let authorities: AuthorityWatch
    let pushLimits: PushLimits
    let metrics: CoreMetrics
    /// Objects of files have been queued for deletion (Δ-S7).
    let onFilesRemoved: @Sendable () -> Void

    init(
        storage: any Storage, broker: Broker, relay: ChangeRelay, authorities: AuthorityWatch,
        pushLimits: PushLimits, metrics: CoreMetrics, onFilesRemoved: @escaping @Sendable () -> Void = {}
    ) {
        self.storage = storage
        self.broker = broker
        self.relay = relay
        self.authorities = authorities
        self.pushLimits = pushLimits
        self.metrics = metrics
        self.onFilesRemoved = onFilesRemoved
    }

    /// The current rows of the granted spaces, in one round trip when all exist. The caller's personal space is created on
    /// first contact (docs/contract/rpc.md §2.3 rule 1).
    package func states(of grants: [ReadGrant]) async -> [SpaceID: Result<Space, StorageError>] {
        let known: [SpaceID: Space]
        do {
            known = try await self.storage.spaces(Array(Set(grants.map(\.space))))
        } catch {
            return Dictionary(grants.map { ($0.space, .failure(error)) }, uniquingKeysWith: { first, _ in first })
        }
        var states: [SpaceID: Result<Space, StorageError>] = known.mapValues { .success($0) }
        for grant in grants where states[grant.space] == nil {
            states[grant.space] = await self.create(grant)
        }
        return states
    }

    /// Opens one snapshot of a space and hands it to `body`. The caller's personal space is created on first contact.
    ///
    /// - Throws: `StorageError` before `body` is called; what `body` throws.
    package func withPull<Value: Sendable>(
        _ grant: ReadGrant, since: Int64, _ body: (any PullSnapshot) async throws -> Value
    ) async throws -> Value {
        do {
            return try await self.storage.withPull(of: grant.space, since: since, body)
        } catch StorageError.spaceNotFound where grant.creator != nil {
            _ = try await self.create(grant).get()
            return try await self.storage.withPull(of: grant.space, since: since, body)
        }
    }

    private func create(_ grant: ReadGrant) async -> Result<Space, StorageError> {
        guard let creator = grant.creator else { return .failure(.spaceNotFound) }
        do {
            return .success(try await self.storage.getOrCreateSpace(grant.space, clientID: creator))
        } catch {
            return .failure(error)
        }
    }
}
