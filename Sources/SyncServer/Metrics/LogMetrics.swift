import Metrics

/// What the log counts by itself, brought into the registry when somebody looks.
struct LogMetrics: Sendable {
    private let linesDropped: @Sendable () -> UInt64
    private let meter: any MeterHandler

    init(_ registry: MetricsRegistry, linesDropped: @escaping @Sendable () -> UInt64) {
        self.linesDropped = linesDropped
        self.meter = registry.makeMeter(label: "log_lines_dropped_total", dimensions: [])
    }

    func update() { self.meter.set(Int64(self.linesDropped())) }
}
