import Metrics

/// Counts the runs of one background job (docs/contract/operations.md §12).
struct JobRuns: Sendable {
    enum Outcome: String {
        case success
        case failure
    }

    private let job: String
    private let factory: any MetricsFactory

    /// - Parameter job: A constant: it becomes a label.
    init(_ job: String, _ factory: any MetricsFactory) {
        self.job = job
        self.factory = factory
    }

    func finished(_ outcome: Outcome) {
        Counter(
            label: "job_runs_total", dimensions: [("job", self.job), ("outcome", outcome.rawValue)],
            factory: self.factory
        ).increment()
    }
}
