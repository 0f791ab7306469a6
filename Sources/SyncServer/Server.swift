import FoundationEssentials
package import Logging
import Metrics
package import ServiceLifecycle
package import SyncAuth
package import SyncCore
import SyncProtocol
package import SyncStorage
import SyncTransport

/// A whole server: everything between `DATABASE_URL` and the listening socket, put together in the order of
/// docs/contract/operations.md §3.
package struct Server: Sendable {
    /// What a server is made of beyond its configuration. The defaults are those of the program; tests shorten times.
    package struct Parts: Sendable {
        package var http: HTTPServerConfiguration
        package var engine = EngineConfiguration()
        /// Issues and accepts development tokens; `less-sync dev` alone has one.
        package var devIssuer: DevIssuer?
        /// Takes the place of the issuers' validator.
        package var tokens: (any TokenValidator)?
        /// Time that requests in progress have once a shutdown has begun.
        package var shutdownGrace: Duration = .seconds(10)
        /// Time that close handshakes have after that.
        package var closeWait: Duration = .seconds(5)
        package var checkpointInterval: Duration = .seconds(300)
        package var purgeIntervals = PurgeIntervals()
        /// Called once, with the address of the metrics.
        package var onMetricsListening: @Sendable (ListenAddress) async -> Void = { _ in }
        /// Lines of the log that were not written since the start, for the metrics.
        package var logLinesDropped: @Sendable () -> UInt64 = { 0 }
        /// Takes the place of the file storage of the configuration.
        package var files: OpenedFileStorage?

        package init(_ configuration: ServerConfiguration) {
            self.http = HTTPServerConfiguration(address: configuration.listenAddress)
            self.http.webSocket.firstMessageBytesMax = Limits.firstMessageBytesMax
            self.http.connectionsMax = configuration.connectionsMax
            self.http.unauthenticatedConnectionsMax = configuration.unauthenticatedConnectionsMax
            self.engine.connectionsPerMailboxMax =
                configuration.isPerformanceMode ? nil : configuration.connectionsPerMailboxMax
            self.engine.recordBlobBytesMax = configuration.recordBlobBytesMax
            self.engine.enforcesTokenExpiry = configuration.enforcesTokenExpiry
            self.engine.rateLimits = configuration.rateLimits
            self.engine.ownDomains = configuration.federation.ownDomains
        }
    }

    /// The open database. It is closed by a shutdown.
    package let storage: any Storage
    /// In the order of their start; a shutdown ends them in the opposite one.
    private let services: [any Service]
    private let logger: Logger

    /// Opens the database and prepares the rest. Nothing listens yet.
    ///
    /// - Parameter onListening: called once, with the address that was bound.
    /// - Throws: `StorageError` of opening the database; `BlobError` of opening the file storage; `FederationKeyError` for a
    ///   stored key that cannot be one.
    package static func open(
        _ configuration: ServerConfiguration, _ parts: Parts, logger: Logger,
        onListening: @escaping @Sendable (ListenAddress) async -> Void = { _ in }
    ) async throws -> Server {
        for warning in configuration.warnings { logger.warning("\(warning)") }
        let database = try await OpenedStorage.open(configuration, logger: logger)
        let files: OpenedFileStorage?
        let keySet: PublishedKeySet
        do {
            files = if let given = parts.files { given } else { try await OpenedFileStorage.open(configuration) }
            keySet = try await PublishedKeySet.load(from: database.storage)
        } catch {
            await database.storage.close()
            throw error
        }
        let keySets = HTTPKeySetFetcher()
        let registry = configuration.metricsAddress == nil ? nil : MetricsRegistry()
        let factory: any MetricsFactory = registry ?? NOOPMetricsHandler.instance
        let tokens = CountedTokens(
            validator: parts.tokens ?? Self.makeTokenValidator(configuration, parts.devIssuer, keySets, logger),
            factory: factory)
        let deletions = files.map { files in
            FileDeletionService(
                FileDeletionWorker(storage: database.storage, store: files.store, logger: logger, metrics: factory),
                interval: parts.purgeIntervals.fileDeletions, clock: ContinuousClock(), logger: logger,
                metrics: factory)
        }
        let engine = SyncEngine(
            configuration: parts.engine, storage: database.storage, tokens: tokens, clock: ContinuousClock(),
            logger: logger, metrics: factory, onFilesRemoved: { deletions?.wake() })
        let routes = files.map {
            FileRoutes(engine: engine, storage: $0, fileBytesMax: configuration.fileBytesMax, metrics: factory)
        }
        let healthDetails: @Sendable () -> HealthDetails = { HealthDetails(database, engine) }
        let http = HTTPApplication(
            configuration: parts.http, tokens: tokens,
            extraRoutes: [keySet.route]
                + DiscoveryDocument.routes(configuration, issuers: configuration.trustedIssuers.map(\.issuer))
                + (parts.devIssuer.map(DevRoutes.all) ?? []) + (routes?.all ?? []),
            healthDetails: configuration.hasHealthDetails ? healthDetails : nil,
            metrics: registry.map { HTTPMetrics(factory: $0) },
            logger: logger,
            ping: { try await database.storage.ping() },
            onListening: onListening,
            serve: { connection, family, onAuthenticated in
                await engine.serve(connection, family: family, onAuthenticated: onAuthenticated)
            })
        var services: [any Service] = [keySets, StorageService(storage: database.storage, logger: logger)]
        if let files { services.append(FileStorageService(files: files)) }
        if let registry, let address = configuration.metricsAddress {
            registry.makeMeter(label: "build_info", dimensions: [("version", Version.current)]).set(1.0)
            services.append(
                MetricsServer(
                    address: address, registry: registry,
                    storage: StorageMetrics(registry) { database.storage.statistics },
                    log: LogMetrics(registry, linesDropped: parts.logLinesDropped), logger: logger,
                    onListening: parts.onMetricsListening))
        }
        var jobs = Self.makePurgeJobs(of: database.storage, parts.purgeIntervals, logger)
        if let checkpoint = database.checkpoint {
            let job = CheckpointJob(
                storage: database.storage, interval: parts.checkpointInterval, clock: ContinuousClock(),
                logger: logger, runs: JobRuns("sqlite_checkpoint", factory), checkpoint: checkpoint)
            jobs.append(job)
        }
        if let files, let deletions {
            jobs.append(deletions)
            jobs.append(
                PeriodicJob.removesUnfinishedFiles(
                    from: files, parts.purgeIntervals, clock: ContinuousClock(), now: { Date() }, logger: logger))
        }
        jobs.append(
            PeriodicJob.refreshes(keySet, from: database.storage, clock: ContinuousClock(), logger: logger))
        jobs.append(EngineService(engine: engine))
        jobs = jobs.map { ($0 as? PeriodicJob)?.counted(by: factory) ?? $0 }
        services.append(JobsService(jobs: jobs, storage: database.storage, logger: logger))
        services.append(
            ClientService(
                http: http, engine: engine, grace: parts.shutdownGrace, closeWait: parts.closeWait, logger: logger,
                storage: database.storage))
        return Server(storage: database.storage, services: services, logger: logger)
    }

    /// Runs until its graceful shutdown has ended (docs/contract/operations.md §6), or until something fails: the address
    /// cannot be bound. Then everything has been closed.
    package func makeServiceGroup() -> ServiceGroup {
        ServiceGroup(configuration: ServiceGroupConfiguration(services: self.services, logger: self.logger))
    }

    private static func makePurgeJobs(
        of storage: any Storage, _ intervals: PurgeIntervals, _ logger: Logger
    ) -> [any Service] {
        [
            PeriodicJob.purgesInvitations(from: storage, intervals, clock: ContinuousClock(), logger: logger),
            PeriodicJob.cleansUpActions(
                from: storage, intervals, clock: ContinuousClock(),
                now: { Int64(Date().timeIntervalSince1970 * 1_000_000) }, logger: logger),
        ]
    }

    private static func makeTokenValidator(
        _ configuration: ServerConfiguration, _ devIssuer: DevIssuer?, _ keySets: HTTPKeySetFetcher, _ logger: Logger
    ) -> JWTValidator {
        guard let devIssuer else {
            return JWTValidator(
                issuers: configuration.trustedIssuers, audiences: configuration.audiences, fetcher: keySets,
                observe: KeySetEvent.log(to: logger))
        }
        // Development tokens have no audience.
        return JWTValidator(
            issuers: configuration.trustedIssuers + [devIssuer.trustedIssuer], audiences: [],
            fetcher: devIssuer.keySetFetcher(otherwise: keySets), observe: KeySetEvent.log(to: logger))
    }
}

extension ServerConfiguration {
    /// `nil` without an identity hash key and in performance mode.
    fileprivate var rateLimits: RateLimits? {
        guard !self.isPerformanceMode, let key = self.identityHashKey?.reveal(),
            let actors = RateLimitActors(key: key)
        else { return nil }
        return RateLimits(
            actors: actors, invitationsPerHour: self.invitationsPerHour,
            membershipAppendsPerHour: self.membershipAppendsPerHour)
    }
}
