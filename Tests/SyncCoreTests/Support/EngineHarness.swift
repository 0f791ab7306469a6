import Logging
import MetricsTestKit
import SyncAuth
import SyncProtocol
import SyncStorage
import SyncTesting
import Synchronization

@testable import SyncCore

/// An engine on a real database, with a clock that stands still and connections in memory.
final class EngineHarness: Sendable {
    let database: any TestStorage
    /// Where the engine meets the database.
    let hooks: HookedStorage
    let tokens = StaticTokens()
    let clock = TestClock()
    let metrics = TestMetrics()
    let logs = LogCollector()
    let engine: SyncEngine
    let wallClock: WallClock
    /// How often the engine said that files were removed.
    let removals: Tally

    private let sessions = Mutex<[(connection: MemoryConnection, task: Task<Void, Never>)]>([])
    private let jobs = Mutex<Task<Void, Never>?>(nil)

    private init(
        database: any TestStorage, configuration: EngineConfiguration, lifetimeFactors: [Double]
    ) {
        self.database = database
        self.hooks = HookedStorage(database.storage)
        let logs = self.logs
        var logger = Logger(label: "test") { _ in LogCollector.Handler(collector: logs) }
        logger.logLevel = .trace
        let wallClock = WallClock()
        let removals = Tally()
        var randomness = EngineRandomness()
        let factors = Mutex(lifetimeFactors)
        randomness.lifetimeFactor = { factors.withLock { $0.isEmpty ? 1 : $0.removeFirst() } }
        randomness.jobIntervalFactor = { 1 }
        randomness.invitationDelay = { .milliseconds(2_000) }
        self.engine = SyncEngine(
            configuration: configuration, storage: self.hooks, tokens: self.tokens, clock: self.clock,
            logger: logger, metrics: self.metrics, randomness: randomness, unixTime: { wallClock.value },
            onFilesRemoved: { removals.count() })
        self.wallClock = wallClock
        self.removals = removals
    }

    final class Tally: Sendable {
        private let counted = Mutex(0)

        var value: Int { self.counted.withLock { $0 } }

        func count() { self.counted.withLock { $0 += 1 } }
    }

    /// Seconds since 1970, moved by hand.
    final class WallClock: Sendable {
        private let seconds = Mutex(1_700_000_000.0)

        var value: Double { self.seconds.withLock { $0 } }

        func advance(by seconds: Double) { self.seconds.withLock { $0 += seconds } }
    }

    /// Runs `body`, then ends every connection and waits for its session.
    ///
    /// - Parameter lifetimeFactors: What is drawn for the first connections; 1 for the others.
    static func run(
        on backend: TestBackend = .sqlite, lifetimeFactors: [Double] = [],
        _ configure: (inout EngineConfiguration) -> Void = { _ in },
        _ body: (EngineHarness) async throws -> Void
    ) async throws {
        var configuration = EngineConfiguration()
        configure(&configuration)
        let settings = configuration
        try await backend.withStorage { database in
            let harness = EngineHarness(
                database: database, configuration: settings, lifetimeFactors: lifetimeFactors)
            do {
                try await body(harness)
            } catch {
                await harness.end()
                throw error
            }
            await harness.end()
        }
    }

    var storage: any Storage { self.database.storage }

    /// A connection that has sent nothing.
    func open(
        family: ProtocolFamily = .less, lingersAfterClose: Bool = false, readsAtOnce: Bool = false,
        onAuthenticated: @escaping @Sendable () -> Void = {}
    ) -> TestClient {
        let connection = MemoryConnection(lingersAfterClose: lingersAfterClose, readsAtOnce: readsAtOnce)
        let task = Task { await self.engine.serve(connection, family: family, onAuthenticated: onAuthenticated) }
        self.sessions.withLock { $0.append((connection, task)) }
        return TestClient(connection) {
            try await eventually("no write is in progress") { self.storage.statistics.pushesQueued == 0 }
        }
    }

    /// A connection that has sent its auth frame.
    func connect(
        _ principal: Principal = .fixture(), family: ProtocolFamily = .less, lingersAfterClose: Bool = false,
        readsAtOnce: Bool = false
    ) -> TestClient {
        let client = self.open(family: family, lingersAfterClose: lingersAfterClose, readsAtOnce: readsAtOnce)
        client.authenticate(self.tokens.issue(principal))
        return client
    }

    /// A connection that has been open for 5 s: its silence is no longer watched for. To be called after `startJobs()`.
    func open(_ principal: Principal) async throws -> TestClient {
        let client = self.open()
        let timeout = self.engine.services.configuration.authTimeout
        await self.clock.waitForSleeper(of: timeout)
        client.authenticate(self.tokens.issue(principal))
        try await client.settle()
        self.clock.advance(by: timeout)
        return client
    }

    /// A connection that watches the personal space of its user.
    func subscriber(_ principal: Principal = .fixture()) async throws -> TestClient {
        let client = self.connect(principal)
        _ = try await client.subscribe(principal.space)
        return client
    }

    /// Waits until the session of this connection has returned. When the test is cancelled, the connection breaks.
    func waitUntilServed(_ client: TestClient) async {
        let task = self.sessions.withLock { $0.first { $0.connection === client.connection }?.task }
        await withTaskCancellationHandler {
            await task?.value
        } onCancel: {
            client.connection.fail()
        }
    }

    /// The gauge of open connections.
    func openConnections() throws -> Double? {
        try self.metrics.expectMeter("ws_connections", [("kind", "client")]).lastValue
    }

    /// The gauge of spaces with a subscriber.
    func watchedSpaces() throws -> Double? { try self.metrics.expectMeter("broker_spaces_watched").lastValue }

    /// Begins what the engine does from time to time, and waits until all of it sleeps.
    func startJobs() async {
        self.jobs.withLock { $0 = Task { await self.engine.run() } }
        await self.clock.waitForSleeper(of: Limits.presenceSweepInterval)
    }

    private func end() async {
        let jobs = self.jobs.withLock { $0.take() }
        jobs?.cancel()
        await jobs?.value
        let sessions = self.sessions.withLock { $0 }
        for session in sessions { session.connection.fail() }
        for session in sessions { await session.task.value }
    }
}

extension Principal {
    /// The personal space, which every fixture has.
    var space: SpaceID {
        guard let space = self.personalSpace else { preconditionFailure("This principal has no personal space.") }
        return space
    }
}

/// Keeps every line that is logged.
final class LogCollector: Sendable {
    private let collected = Mutex<[String]>([])

    /// Level, message and metadata of each line.
    var lines: [String] { self.collected.withLock { $0 } }

    struct Handler: LogHandler {
        let collector: LogCollector
        var logLevel = Logger.Level.trace
        var metadata: Logger.Metadata = [:]

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { self.metadata[key] }
            set { self.metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let all = self.metadata.merging(event.metadata ?? [:]) { _, last in last }
            let pairs = all.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            let line = "\(event.level) \(event.message) " + pairs.joined(separator: " ")
            self.collector.collected.withLock { $0.append(line) }
        }
    }
}
