import Logging
import Metrics
import ServiceLifecycle

/// Deletes the objects of removed files: those that a crash left at the start, then after each commit that removed files, and
/// every now and then (docs/contract/operations.md §5). Runs one at a time.
struct FileDeletionService: Service {
    static let name = "file_deletion"

    private let worker: FileDeletionWorker
    private let interval: Duration
    private let clock: any Clock<Duration>
    private let logger: Logger
    private let runs: JobRuns
    /// One signal is as good as many.
    private let signals = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))

    init(
        _ worker: FileDeletionWorker, interval: Duration, clock: any Clock<Duration>, logger: Logger,
        metrics: any MetricsFactory = NOOPMetricsHandler.instance
    ) {
        self.runs = JobRuns(Self.name, metrics)
        self.worker = worker
        self.interval = interval
        self.clock = clock
        self.logger = logger
    }

    /// Objects have been queued. Does not wait.
    func wake() { self.signals.continuation.yield() }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            await withTaskGroup { group in
                group.addTask { await self.wakeRegularly() }
                self.wake()
                for await _ in self.signals.stream { await self.work() }
                group.cancelAll()
            }
        }
    }

    private func wakeRegularly() async {
        while true {
            do { try await self.clock.sleep(for: self.interval * Double.random(in: 0.9...1.1)) } catch { return }
            self.wake()
        }
    }

    private func work() async {
        do {
            let outcome = try await self.worker.run()
            self.runs.finished(outcome.failures == 0 ? .success : .failure)
            guard outcome != FileDeletionOutcome() else { return }
            self.logger.debug(
                "deleted objects",
                metadata: [
                    "job": "\(Self.name)", "objects": "\(outcome.objects)", "bytes": "\(outcome.bytes)",
                    "failures": "\(outcome.failures)",
                ])
        } catch {
            guard !Task.isCancelled else { return }
            self.runs.finished(.failure)
            self.logger.error("job failed", metadata: ["job": "\(Self.name)", "error": "\(error)"])
        }
    }
}
