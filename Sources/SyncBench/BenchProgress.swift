/// One line a second about a run in progress.
struct BenchProgress: Sendable {
    /// What all event loops recorded since the line before.
    struct Sample: Sendable {
        var latencies: [BenchMetric: LatencyHistogram] = [:]
        var failures: UInt64 = 0
        var openConnections = 0

        mutating func add(_ latencies: [BenchMetric: LatencyHistogram], failures: UInt64, open: Int) {
            self.latencies.merge(latencies) { mine, theirs in
                var sum = mine
                sum.merge(theirs)
                return sum
            }
            self.failures += failures
            self.openConnections += open
        }
    }

    private let options: BenchOptions
    private let start: UInt64
    private var last: UInt64

    init(_ options: BenchOptions, start: UInt64) {
        self.options = options
        self.start = start
        self.last = start
    }

    mutating func line(_ sample: Sample, at now: UInt64) -> String {
        let seconds = Double(now - min(self.last, now)) / 1e9
        self.last = now
        let elapsed = Double(now - min(self.start, now)) / 1e9
        var parts = ["\(BenchText.fixed(elapsed, digits: 0)) s"]
        if elapsed < self.options.warmup / .seconds(1) { parts.append("warm-up") }
        for metric in BenchMetric.allCases where metric != .afterAnswer && metric != .connect {
            guard let latencies = sample.latencies[metric], latencies.count > 0 else { continue }
            let rate = seconds > 0 ? Double(latencies.count) / seconds : 0
            parts.append(
                "\(metric.rawValue) \(BenchText.rate(rate))/s, p50 \(BenchText.milliseconds(latencies.percentile(50))) ms, "
                    + "p99 \(BenchText.milliseconds(latencies.percentile(99))) ms")
        }
        parts.append("\(sample.openConnections) connections")
        if sample.failures > 0 { parts.append("\(BenchText.grouped(sample.failures)) failed") }
        return parts.joined(separator: "   ")
    }
}
