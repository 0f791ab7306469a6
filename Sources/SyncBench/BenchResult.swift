import FoundationEssentials
import SyncProtocol

/// What a run has measured. Its JSON is what `--json` prints.
package struct BenchResult: Encodable, Hashable, Sendable {
    /// Latencies in microseconds; each is at most `relative_error` above the true value, `min`, `max` and `mean` are exact.
    package struct Latencies: Encodable, Hashable, Sendable {
        package let min, mean, p50, p90, p99, p999, max: Double
    }

    package struct Operation: Encodable, Hashable, Sendable {
        /// Those that succeeded within the measured time.
        package let count: UInt64
        package let perSecond: Double
        package let records: UInt64
        package let recordsPerSecond: Double
        package let bytes: UInt64
        package let latencies: Latencies

        enum CodingKeys: String, CodingKey {
            case count, records, bytes
            case perSecond = "per_second"
            case recordsPerSecond = "records_per_second"
            case latencies = "latency_us"
        }
    }

    package struct Server: Encodable, Hashable, Sendable {
        package let pid: Int32
        /// Within the measured time.
        package let cpuSeconds: Double
        package let residentBytesBefore: Int
        package let residentBytesStart: Int
        package let residentBytesEnd: Int

        enum CodingKeys: String, CodingKey {
            case pid
            case cpuSeconds = "cpu_seconds"
            case residentBytesBefore = "resident_bytes_before"
            case residentBytesStart = "resident_bytes_start"
            case residentBytesEnd = "resident_bytes_end"
        }
    }

    package let options: BenchOptions
    /// Measured time, from the end of the warm-up to the last operation.
    package let seconds: Double
    package let operations: [BenchMetric: Operation]
    package let failures: [String: UInt64]
    /// Operations of a constant rate that were never sent.
    package let missed: Int
    package let loadCPUSeconds: Double
    package let server: Server?
    package let loadAverage: [Double]

    /// Nothing failed, everything was sent, and there is something to report.
    package var isSuccess: Bool {
        self.failures.isEmpty && self.missed == 0 && self.operations.values.contains { $0.count > 0 }
    }

    /// The operation that the run is about.
    package var main: Operation? { self.operations[self.options.scenario.metric] }

    private enum CodingKeys: String, CodingKey {
        case options, seconds, operations, failures, failed, missed, server
        case relativeError = "relative_error"
        case loadCPUSeconds = "load_cpu_seconds"
        case loadAverage = "load_average"
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(self.options, forKey: .options)
        try container.encode(self.seconds, forKey: .seconds)
        let operations = self.operations.map { ($0.key.rawValue, $0.value) }
        try container.encode(Dictionary(uniqueKeysWithValues: operations), forKey: .operations)
        try container.encode(self.failures, forKey: .failures)
        try container.encode(self.failures.values.reduce(0, +), forKey: .failed)
        try container.encode(self.missed, forKey: .missed)
        try container.encode(LatencyHistogram.relativeErrorMax, forKey: .relativeError)
        try container.encode(self.loadCPUSeconds, forKey: .loadCPUSeconds)
        try container.encodeIfPresent(self.server, forKey: .server)
        try container.encode(self.loadAverage, forKey: .loadAverage)
    }

    /// Ends with a newline.
    package var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return ((try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? "{}") + "\n"
    }
}

// MARK: - From what was recorded

extension BenchResult {
    /// Of the server, if it is known, and of this process.
    struct Usages: Sendable {
        struct Pair: Sendable {
            var server: ProcessUsage?
            var own: ProcessUsage?
        }

        /// Before the first connection.
        var before: ProcessUsage?
        /// At the end of the warm-up.
        var start: Pair
        var end: Pair
    }

    init(
        _ options: BenchOptions, _ recorder: Recorder, missed: Int, measuredFrom: UInt64, end: UInt64, _ usages: Usages
    ) {
        let main = recorder.metrics[options.scenario.metric]
        // An idle run lasts as long as it was to last; the others as long as something came.
        let last = options.scenario == .idle ? end : max(main?.lastEnd ?? 0, measuredFrom)
        let seconds = Double(last - min(measuredFrom, last)) / 1e9
        self.options = options
        self.seconds = seconds
        self.operations = recorder.metrics.mapValues { Operation($0, seconds: seconds) }
        self.failures = recorder.failures
        self.missed = missed
        self.loadCPUSeconds = (usages.end.own?.cpuSeconds ?? 0) - (usages.start.own?.cpuSeconds ?? 0)
        self.loadAverage = ProcessUsage.loadAverage
        if let pid = options.serverPID, let before = usages.before, let start = usages.start.server,
            let end = usages.end.server
        {
            self.server = Server(
                pid: pid, cpuSeconds: end.cpuSeconds - start.cpuSeconds, residentBytesBefore: before.residentBytes,
                residentBytesStart: start.residentBytes, residentBytesEnd: end.residentBytes)
        } else {
            self.server = nil
        }
    }
}

extension BenchResult.Operation {
    fileprivate init(_ metric: Recorder.Metric, seconds: Double) {
        let latencies = metric.latencies
        func microseconds(_ percent: Double) -> Double { Double(latencies.percentile(percent)) / 1_000 }
        self.count = latencies.count
        self.perSecond = seconds > 0 ? Double(latencies.count) / seconds : 0
        self.records = metric.records
        self.recordsPerSecond = seconds > 0 ? Double(metric.records) / seconds : 0
        self.bytes = metric.bytes
        self.latencies = BenchResult.Latencies(
            min: Double(latencies.min) / 1_000, mean: latencies.mean / 1_000, p50: microseconds(50),
            p90: microseconds(90), p99: microseconds(99), p999: microseconds(99.9), max: Double(latencies.max) / 1_000)
    }
}

extension BenchOptions.Scenario {
    /// What a run of it is about; the others are by the way.
    package var metric: BenchMetric {
        switch self {
        case .push, .mixed: .push
        case .pull: .pull
        case .fanout: .delivery
        case .idle: .connect
        case .echo: .echo
        }
    }
}

extension BenchOptions: Encodable {
    private enum CodingKeys: String, CodingKey {
        case scenario, url, family, mode, rate, clients, spaces, connections, publishers, subscribers, window, batch
        case records, threads, bare, dek
        case recordBytes = "record_bytes"
        case pullShare = "pull_share"
        case duration = "duration_s"
        case warmup = "warmup_s"
        case timeout = "timeout_s"
        case operationsMax = "operations"
    }

    /// What the scenario depends on; no tokens and no names.
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(self.scenario, forKey: .scenario)
        try container.encode(self.url, forKey: .url)
        try container.encode(self.family.subprotocol, forKey: .family)
        try container.encode(self.rate == nil ? "closed loop" : "constant rate", forKey: .mode)
        try container.encodeIfPresent(self.rate, forKey: .rate)
        try container.encode(self.connections, forKey: .connections)
        try container.encode(self.spaceCount, forKey: .spaces)
        try container.encode(self.threads, forKey: .threads)
        try container.encode(self.duration / .seconds(1), forKey: .duration)
        try container.encode(self.warmup / .seconds(1), forKey: .warmup)
        try container.encode(self.timeout / .seconds(1), forKey: .timeout)
        try container.encodeIfPresent(self.operationsMax, forKey: .operationsMax)
        if self.scenario != .idle {
            try container.encode(self.recordBytes, forKey: .recordBytes)
        }
        switch self.scenario {
        case .fanout:
            try container.encode(self.publishers, forKey: .publishers)
            try container.encode(self.subscribers, forKey: .subscribers)
            if self.rate == nil { try container.encode(self.window, forKey: .window) }
            try container.encode(self.isBare, forKey: .bare)
        case .pull: try container.encode(self.records, forKey: .records)
        case .mixed: try container.encode(self.pullShare, forKey: .pullShare)
        case .push, .idle, .echo: break
        }
        if [.push, .mixed, .fanout].contains(self.scenario) {
            try container.encode(self.batch, forKey: .batch)
            try container.encode(self.hasDEK, forKey: .dek)
        }
        if self.scenario != .fanout { try container.encode(self.clients, forKey: .clients) }
    }
}
