import Metrics
import SyncStorage

/// What a storage counts by itself, brought into the registry when somebody looks.
struct StorageMetrics: Sendable {
    private let statistics: @Sendable () -> StorageStatistics
    private let commits: any MeterHandler
    private let pushes: any MeterHandler
    private let batches: MetricSeries?
    private let pushesQueued: any MeterHandler
    private let pullsOpen: any MeterHandler
    private let pullsWaiting: any MeterHandler
    private let poolSize: any MeterHandler
    private let poolInUse: any MeterHandler

    init(_ registry: MetricsRegistry, statistics: @escaping @Sendable () -> StorageStatistics) {
        func meter(_ name: String) -> any MeterHandler { registry.makeMeter(label: name, dimensions: []) }
        self.statistics = statistics
        self.commits = meter("storage_commits_total")
        self.pushes = meter("storage_pushes_total")
        self.batches =
            registry.makeRecorder(label: "storage_commit_pushes", dimensions: [], aggregate: true) as? MetricSeries
        self.pushesQueued = meter("storage_pushes_queued")
        self.pullsOpen = meter("storage_pulls_open")
        self.pullsWaiting = meter("storage_pulls_waiting")
        self.poolSize = meter("storage_pool_size")
        self.poolInUse = meter("storage_pool_in_use")
    }

    func update() {
        let statistics = self.statistics()
        self.commits.set(Int64(statistics.commits))
        self.pushes.set(Int64(statistics.pushes))
        self.batches?.set(
            MetricSeries.Histogram(counts: statistics.batches.counts, sum: Double(statistics.batches.pushes)))
        self.pushesQueued.set(Int64(statistics.pushesQueued))
        self.pullsOpen.set(Int64(statistics.pullsOpen))
        self.pullsWaiting.set(Int64(statistics.pullsWaiting))
        self.poolSize.set(Int64(statistics.connections))
        self.poolInUse.set(Int64(statistics.connectionsInUse))
    }
}
