/// What is measured. The raw values are the names in the JSON result.
package enum BenchMetric: String, Sendable, Hashable, CaseIterable {
    /// A push, from its intended send time to its answer.
    case push
    /// A whole pull, likewise.
    case pull
    /// A notification, from the intended send time of its push until it has been handled at one subscriber.
    case delivery
    /// A notification, from the arrival of the answer to its push to its own at one subscriber's socket; 0 when it came
    /// first. How long the load takes to handle the arrivals of the others does not count.
    case afterAnswer = "after_answer"
    /// From the beginning of a connection to the first answer on it.
    case connect
    /// A message to an echo and back.
    case echo
}

/// What became of the operations of one event loop.
struct Recorder: Sendable {
    struct Metric: Sendable {
        var latencies = LatencyHistogram()
        var records: UInt64 = 0
        var bytes: UInt64 = 0
        /// Nanoseconds; when the last one ended.
        var lastEnd: UInt64 = 0

        mutating func merge(_ other: Metric) {
            self.latencies.merge(other.latencies)
            self.records += other.records
            self.bytes += other.bytes
            self.lastEnd = max(self.lastEnd, other.lastEnd)
        }
    }

    /// Different failures kept apart; the rest counts as `other`.
    private static let failureKindsMax = 20
    private static let other = "other"

    /// Operations whose intended send time is earlier belong to the warm-up.
    var measuredFrom: UInt64 = 0
    private(set) var metrics: [BenchMetric: Metric] = [:]
    private(set) var failures: [String: UInt64] = [:]
    /// Since the last `takeInterval()`, warm-up included.
    private var interval: [BenchMetric: LatencyHistogram] = [:]

    mutating func record(
        _ metric: BenchMetric, intended: UInt64, end: UInt64, records: Int = 0, bytes: Int = 0
    ) {
        self.record(metric, latency: end - min(intended, end), intended: intended, end: end, records, bytes)
    }

    /// - Parameter latency: where it does not count from `intended`.
    mutating func record(
        _ metric: BenchMetric, latency: UInt64, intended: UInt64, end: UInt64, _ records: Int = 0, _ bytes: Int = 0
    ) {
        self.interval[metric, default: LatencyHistogram()].record(latency)
        guard intended >= self.measuredFrom else { return }
        self.metrics[metric, default: Metric()].add(latency, end: end, records, bytes)
    }

    mutating func fail(_ what: String, count: UInt64 = 1) {
        guard count > 0 else { return }
        let kinds = self.failures.count - (self.failures[Self.other] == nil ? 0 : 1)
        let isKept = what == Self.other || self.failures[what] != nil || kinds < Self.failureKindsMax
        self.failures[isKept ? what : Self.other, default: 0] += count
    }

    var failureCount: UInt64 { self.failures.values.reduce(0, +) }

    mutating func takeInterval() -> [BenchMetric: LatencyHistogram] {
        defer { self.interval = [:] }
        return self.interval
    }

    mutating func merge(_ other: Recorder) {
        self.metrics.merge(other.metrics) { mine, theirs in
            var sum = mine
            sum.merge(theirs)
            return sum
        }
        for (what, count) in other.failures { self.fail(what, count: count) }
    }
}

extension Recorder.Metric {
    fileprivate mutating func add(_ latency: UInt64, end: UInt64, _ records: Int, _ bytes: Int) {
        self.latencies.record(latency)
        self.records += UInt64(records)
        self.bytes += UInt64(bytes)
        self.lastEnd = max(self.lastEnd, end)
    }
}
