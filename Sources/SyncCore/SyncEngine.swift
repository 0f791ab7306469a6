package import Logging
package import Metrics
package import SyncAuth
package import SyncProtocol
package import SyncStorage

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Everything between a WebSocket and the storage: one value serves all connections of a process.
package final class SyncEngine: Sendable {
    // Fixed after init.
    let services: EngineServices
    let lifetimes: LifetimeWatch

    // Guarded by itself.
    let registry = SessionRegistry()

    /// - Parameters:
    ///   - metrics: Where the metrics of docs/contract/operations.md §12 go.
    ///   - randomness: What is drawn while the engine runs.
    ///   - unixTime: Seconds since 1970, for what expires: delegations, tokens, `EngineConfiguration.rateLimits`.
    ///   - onFilesRemoved: Called after each commit that has queued objects of files for deletion. Must not block.
    package init(
        configuration: EngineConfiguration,
        storage: any Storage,
        tokens: any TokenValidator,
        clock: any Clock<Duration>,
        logger: Logger,
        metrics: any MetricsFactory = MetricsSystem.factory,
        randomness: EngineRandomness = EngineRandomness(),
        unixTime: @escaping @Sendable () -> Double = { Date().timeIntervalSince1970 },
        onFilesRemoved: @escaping @Sendable () -> Void = {}
    ) {
        let metrics = CoreMetrics(factory: metrics)
        let revocations = RevocationLog()
        let broker = Broker(
            connectionsPerMailboxMax: configuration.connectionsPerMailboxMax, revocations: revocations,
            unixTime: unixTime, metrics: metrics, logger: logger)
        let presence = PresenceRegistry(
            broker: broker, pseudonyms: PresencePseudonyms(), elapsed: clock.stopwatch(), logger: logger)
        let authorities = AuthorityWatch(
            broker: broker, presence: presence, clock: clock, unixTime: unixTime, logger: logger)
        let relay = ChangeRelay(
            storage: storage, broker: broker, authorities: authorities, clock: clock, logger: logger)
        self.lifetimes = LifetimeWatch(
            configuration: configuration, randomness: randomness, clock: clock, unixTime: unixTime)
        self.services = EngineServices(
            configuration: configuration,
            methods: .client,
            tokens: tokens,
            authorizer: SpaceAuthorizer(store: storage, log: revocations, unixTime: unixTime),
            revocations: revocations,
            authorities: authorities,
            spaces: SpaceService(
                storage: storage, broker: broker, relay: relay, authorities: authorities,
                pushLimits: PushLimits(recordBlobBytesMax: configuration.recordBlobBytesMax), metrics: metrics,
                onFilesRemoved: onFilesRemoved),
            broker: broker,
            presence: presence,
            mailboxes: storage,
            invitations: InvitationNotifier(broker: broker, clock: clock, delay: randomness.invitationDelay),
            rateLimiter: RateLimiter(
                limits: configuration.rateLimits, store: storage, unixTime: unixTime, logger: logger),
            clock: clock,
            randomness: randomness,
            unixTime: unixTime,
            metrics: metrics,
            logger: logger
        )
    }

    /// Connections that have authenticated, and spaces that one of them is subscribed to.
    package var census: (connections: Int, spaces: Int) { self.services.broker.census }

    /// Runs one client connection from the handshake to its end (docs/contract/wire.md §3). Returns when it is gone.
    ///
    /// - Parameter onAuthenticated: Called at most once, when the token has been accepted: the connection stops counting
    ///   as unauthenticated.
    package func serve(
        _ connection: any FrameConnection, family: ProtocolFamily,
        onAuthenticated: @escaping @Sendable () -> Void = {}
    ) async {
        let session = Session(
            connection: connection, family: family, engine: self, onAuthenticated: onAuthenticated)
        if self.registry.add(session) {
            await session.run()
            self.registry.remove(session)
        } else {
            connection.close(.goingAway)
            await connection.waitUntilClosed()
        }
    }

    /// Does what is done from time to time, until the task is cancelled: stale presence is removed, mailboxes are told of
    /// their invitations, subscriptions end with their delegations, connections with their lifetime, and subscribers hear of the changes of other server
    /// processes (docs/contract/operations.md §5). To be run once.
    package func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.services.spaces.relay.run() }
            group.addTask { await self.services.invitations.run() }
            group.addTask { await self.sweepPresence() }
            group.addTask { await self.services.authorities.run() }
            group.addTask { await self.lifetimes.run(self.registry) }
        }
    }

    private func sweepPresence() async {
        while true {
            let interval = Limits.presenceSweepInterval * self.services.randomness.jobIntervalFactor()
            do { try await self.services.clock.sleep(for: interval) } catch { return }
            self.services.presence.removeStale()
            self.services.metrics.presenceSwept()
        }
    }

    /// Lets requests in progress finish within `grace`, then closes every connection with 1001 `server shutting down`
    /// (docs/contract/operations.md §6). Resets those that have not ended after another `closeWait`. Connections that are
    /// handed to `serve` afterwards are closed with 1001 at once.
    package func shutDown(grace: Duration, closeWait: Duration) async {
        self.registry.beginShutdown()
        self.services.presence.beginShutdown()
        let sessions = self.registry.sessions
        self.services.logger.info(
            "Closing connections", metadata: Logger.metadata([.step: "sessions", .count: "\(sessions.count)"]))
        for session in sessions { session.drain(.goingAway) }
        if await self.waitUntilEmpty(atMost: grace) { return }
        for session in self.registry.sessions { session.connection.close(.goingAway) }
        if await self.waitUntilEmpty(atMost: closeWait) { return }
        let left = self.registry.sessions
        self.services.logger.warning(
            "Connections cut", metadata: Logger.metadata([.step: "sessions", .count: "\(left.count)"]))
        for session in left { session.connection.abort() }
    }

    /// - Returns: False when the time has passed and sessions are left.
    private func waitUntilEmpty(atMost limit: Duration) async -> Bool {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.registry.waitUntilEmpty() }
            group.addTask { try? await self.services.clock.sleep(for: limit) }
            await group.next()
            group.cancelAll()
        }
        return self.registry.sessions.isEmpty
    }
}
