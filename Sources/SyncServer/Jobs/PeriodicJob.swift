import Logging
import Metrics
import ServiceLifecycle

/// Work that is done again and again until the server shuts down (docs/contract/operations.md §5). Runs one at a time; one
/// that fails is logged, and tried again at its next time.
struct PeriodicJob: Service {
    /// For the log, a constant.
    let name: String
    /// Until the first run, and from the end of one run to the next: each time 0.9 to 1.1 of it.
    let firstDelay: Duration
    let interval: Duration
    let clock: any Clock<Duration>
    let logger: Logger
    /// Cancelled by a shutdown.
    let work: @Sendable () async throws -> Void
    private var runs: JobRuns

    /// - Parameter firstDelay: `nil`: as `interval`.
    init(
        name: String, firstDelay: Duration? = nil, interval: Duration, clock: any Clock<Duration>, logger: Logger,
        work: @escaping @Sendable () async throws -> Void
    ) {
        self.name = name
        self.firstDelay = firstDelay ?? interval
        self.interval = interval
        self.clock = clock
        self.logger = logger
        self.work = work
        self.runs = JobRuns(name, NOOPMetricsHandler.instance)
    }

    /// The same job, whose runs are counted.
    func counted(by metrics: any MetricsFactory) -> PeriodicJob {
        var job = self
        job.runs = JobRuns(self.name, metrics)
        return job
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            var delay = self.firstDelay
            while true {
                do { try await self.clock.sleep(for: delay * Double.random(in: 0.9...1.1)) } catch { return }
                do {
                    try await self.work()
                    self.runs.finished(.success)
                } catch {
                    guard !Task.isCancelled else { return }
                    self.runs.finished(.failure)
                    self.logger.error("job failed", metadata: ["job": "\(self.name)", "error": "\(error)"])
                }
                delay = self.interval
            }
        }
    }
}
