import Logging
import Metrics
import ServiceLifecycle
import SyncCore
import SyncStorage

/// Everything that clients see. Its graceful shutdown is steps 1 to 5 of docs/contract/operations.md §6.
struct ClientService: Service {
    let http: HTTPApplication
    let engine: SyncEngine
    let grace: Duration
    let closeWait: Duration
    let logger: Logger
    let storage: any Storage

    /// Time that connections which have been reset need to be gone.
    private static let resetWait = Duration.seconds(1)

    private enum Part { case http, sessions, patience }

    func run() async throws {
        let limit = StorageLimit(storage: self.storage, logger: self.logger)
        try await limit.during("clients", atMost: self.grace + self.closeWait + ShutdownBudget.drain) {
            try await self.serve()
        }
    }

    private func serve() async throws {
        try await withThrowingTaskGroup(of: Part.self) { group in
            group.addTask {
                try await self.http.run()
                return .http
            }
            group.addTask {
                try await self.endSessionsOnShutdown()
                return .sessions
            }
            group.addTask {
                try await gracefulShutdown()
                try await ContinuousClock().sleep(for: self.grace + self.closeWait + Self.resetWait)
                return .patience
            }
            // The sockets outlive their sessions by a handshake, and requests in progress have as long. What is still open
            // after that is cut by the cancellation: an upload in the middle, for one.
            var open: Set<Part> = [.http, .sessions]
            while !open.isEmpty, let part = try await group.next() {
                guard part != .patience else {
                    self.logger.warning("requests cut", metadata: ["step": "clients"])
                    break
                }
                open.remove(part)
            }
            group.cancelAll()
        }
    }

    private func endSessionsOnShutdown() async throws {
        try await gracefulShutdown()
        self.logger.info("shutdown step", metadata: ["step": "clients"])
        self.http.beginShutdown()
        await self.engine.shutDown(grace: self.grace, closeWait: self.closeWait)
    }
}

/// How long the steps of a shutdown may take (docs/contract/operations.md §6), those of the clients apart.
enum ShutdownBudget {
    static let drain: Duration = .seconds(2)
    static let jobs: Duration = .seconds(2)
    static let storage: Duration = .seconds(5)
}

/// Gives up a database that does not answer when a step of a shutdown takes too long.
struct StorageLimit: Sendable {
    let storage: any Storage
    let logger: Logger

    /// Runs `body` to its end.
    ///
    /// - Parameter budget: Counted from the beginning of the graceful shutdown.
    func during(
        _ step: String, atMost budget: Duration, _ body: @escaping @Sendable () async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await body()
                return true
            }
            group.addTask {
                do {
                    try await gracefulShutdown()
                    try await ContinuousClock().sleep(for: budget)
                } catch {
                    return false
                }
                self.logger.warning("database given up", metadata: ["step": "\(step)"])
                self.storage.abandon()
                return false
            }
            while let hasEnded = try await group.next(), !hasEnded {}
            group.cancelAll()
        }
    }
}

/// Everything that is done from time to time. It ends together, after the clients.
struct JobsService: Service {
    let jobs: [any Service]
    let storage: any Storage
    let logger: Logger

    func run() async throws {
        try await StorageLimit(storage: self.storage, logger: self.logger).during(
            "jobs", atMost: ShutdownBudget.jobs
        ) {
            try await withThrowingTaskGroup { group in
                for job in self.jobs { group.addTask { try await job.run() } }
                try await group.waitForAll()
            }
        }
    }
}

/// What the engine does from time to time (docs/contract/operations.md §5). Ends after the clients, with the other jobs.
struct EngineService: Service {
    let engine: SyncEngine

    func run() async throws {
        await cancelWhenGracefulShutdown { await self.engine.run() }
    }
}

/// Closes the database when everything that uses it has ended.
struct StorageService: Service {
    let storage: any Storage
    let logger: Logger

    func run() async throws {
        try await StorageLimit(storage: self.storage, logger: self.logger).during(
            "storage", atMost: ShutdownBudget.storage
        ) {
            try? await gracefulShutdown()
            self.logger.info("shutdown step", metadata: ["step": "storage"])
            await self.storage.close()
        }
    }
}

/// Closes the file storage when everything that uses it has ended.
struct FileStorageService: Service {
    let files: OpenedFileStorage

    func run() async throws {
        try? await gracefulShutdown()
        await self.files.store.close()
    }
}

/// Empties SQLite's write-ahead log while nobody needs the database (docs/contract/operations.md §5).
struct CheckpointJob: Service {
    let storage: any Storage
    let interval: Duration
    let clock: any Clock<Duration>
    let logger: Logger
    var runs = JobRuns("sqlite_checkpoint", NOOPMetricsHandler.instance)
    let checkpoint: @Sendable () async throws(StorageError) -> Void

    func run() async throws {
        await cancelWhenGracefulShutdown {
            var commitsBefore = 0
            while true {
                do { try await self.clock.sleep(for: self.interval * Double.random(in: 0.9...1.1)) } catch { return }
                let statistics = self.storage.statistics
                let isIdle = statistics.pushesQueued == 0 && statistics.pullsOpen == 0
                guard isIdle, statistics.commits != commitsBefore else { continue }
                do {
                    try await self.checkpoint()
                    self.runs.finished(.success)
                    commitsBefore = statistics.commits
                } catch {
                    self.runs.finished(.failure)
                    self.logger.error("checkpoint failed", metadata: ["error": "\(error)"])
                }
            }
        }
    }
}
