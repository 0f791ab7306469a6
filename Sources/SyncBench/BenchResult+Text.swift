extension BenchResult {
    /// For people: a table and a few lines. Ends with a newline.
    package var text: String {
        var lines = [self.title, ""]
        var rows = [["", "count", "per second", "records/s", "mean", "p50", "p90", "p99", "p99.9", "max (ms)"]]
        for metric in BenchMetric.allCases {
            guard let operation = self.operations[metric], operation.count > 0 else { continue }
            let latencies = operation.latencies
            let isRate = metric != .connect
            rows.append(
                [
                    metric.rawValue, BenchText.grouped(operation.count),
                    isRate ? BenchText.rate(operation.perSecond) : "",
                    operation.records > 0 ? BenchText.rate(operation.recordsPerSecond) : "",
                ]
                    + [latencies.mean, latencies.p50, latencies.p90, latencies.p99, latencies.p999, latencies.max]
                    .map { BenchText.milliseconds(UInt64($0 * 1_000)) })
        }
        lines += BenchText.table(rows)
        lines.append("")
        if let server = self.server { lines += self.lines(about: server) }
        let busy = self.seconds > 0 ? self.loadCPUSeconds / self.seconds * 100 : 0
        lines.append(
            "This program used \(BenchText.fixed(busy, digits: 0)) % of a processor; load average "
                + self.loadAverage.map { BenchText.fixed($0, digits: 2) }.joined(separator: " ") + ".")
        for (what, count) in self.failures.sorted(by: { $0.key < $1.key }) {
            lines.append("failed: \(BenchText.grouped(count)) × \(what)")
        }
        if self.missed > 0 {
            lines.append("failed: \(BenchText.grouped(UInt64(self.missed))) operations were never sent at this rate")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private var title: String {
        let options = self.options
        var parts: [String]
        switch options.scenario {
        case .fanout: parts = ["\(options.publishers) publishers", "\(options.subscribers) subscribers"]
        case .idle: parts = ["\(options.clients) connections"]
        case .push, .pull, .mixed, .echo: parts = ["\(options.clients) clients"]
        }
        if options.speaksProtocol { parts.append("\(options.spaceCount) spaces") }
        switch options.scenario {
        case .push, .mixed, .fanout: parts.append("\(options.batch) × \(options.recordBytes) bytes")
        case .pull: parts.append("\(options.records) × \(options.recordBytes) bytes")
        case .echo: parts.append("\(options.recordBytes) bytes")
        case .idle: break
        }
        let mode = options.rate.map { "\(BenchText.rate($0)) a second" } ?? "closed loop"
        parts.append(options.scenario == .idle ? "idle" : mode)
        return "\(options.scenario.rawValue): " + parts.joined(separator: ", ")
            + ", \(BenchText.fixed(self.seconds, digits: 1)) s"
    }

    private func lines(about server: Server) -> [String] {
        let busy = self.seconds > 0 ? server.cpuSeconds / self.seconds * 100 : 0
        var line = "The server used \(BenchText.fixed(busy, digits: 0)) % of a processor"
        if let main = self.main, main.count > 0, self.options.scenario != .idle {
            let each = server.cpuSeconds * 1e6 / Double(main.count)
            line += ", \(BenchText.fixed(each, digits: 1)) µs for each \(self.options.scenario.metric.rawValue)"
        }
        var lines = [
            line + "; its resident memory was \(BenchText.mebibytes(server.residentBytesBefore)) before, "
                + "\(BenchText.mebibytes(server.residentBytesEnd)) at the end."
        ]
        if self.options.scenario == .idle {
            let each = Double(server.residentBytesEnd - server.residentBytesBefore) / Double(self.options.clients)
            lines.append("That is \(BenchText.fixed(each / 1_024, digits: 1)) KiB for each connection.")
        }
        return lines
    }
}
