package import Metrics
import Synchronization

/// Keeps the values of all metrics of one server and writes them in Prometheus' text format 0.0.4.
///
/// The number of series is bounded. Beyond the bound a metric is counted nowhere, which is better than a server that grows
/// with what its peers make up; labels come from closed sets, so that this does not happen.
package final class MetricsRegistry: MetricsFactory, Sendable {
    /// Series of all metrics together.
    static let seriesMax = 4_096

    private struct Family {
        let name: String
        let kind: MetricCatalogue.Kind
        let help: String
        let bounds: [Double]
        /// By their labels as they are written.
        var series: [String: MetricSeries] = [:]
    }

    private struct State {
        var families: [String: Family] = [:]
        var seriesCount = 0
    }

    private let state = Mutex(State())

    package init() {}

    // MARK: Factory

    package func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        self.series(label, dimensions, .counter)
    }

    package func makeFloatingPointCounter(
        label: String, dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler {
        self.series(label, dimensions, .counter)
    }

    package func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        self.series(label, dimensions, .gauge)
    }

    package func makeRecorder(
        label: String, dimensions: [(String, String)], aggregate: Bool
    ) -> any RecorderHandler {
        self.series(label, dimensions, aggregate ? .histogram : .gauge)
    }

    package func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        self.series(label, dimensions, .histogram)
    }

    // A series stays when its handler goes: counters never go back.
    package func destroyCounter(_ handler: any CounterHandler) {}
    package func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
    package func destroyMeter(_ handler: any MeterHandler) {}
    package func destroyRecorder(_ handler: any RecorderHandler) {}
    package func destroyTimer(_ handler: any TimerHandler) {}

    /// The series of these labels, the same one for the same labels in any order.
    private func series(
        _ name: String, _ dimensions: [(String, String)], _ kind: MetricCatalogue.Kind
    ) -> MetricSeries {
        let labels = Self.text(of: dimensions)
        return self.state.withLock { state in
            let entry = MetricCatalogue.entry(name)
            var family =
                state.families[name]
                ?? Family(
                    name: name, kind: entry?.kind ?? kind, help: entry?.help ?? name,
                    bounds: entry?.bounds ?? (kind == .histogram ? MetricCatalogue.batchBounds : []))
            if let series = family.series[labels] { return series }
            let series = MetricSeries(bounds: family.bounds)
            guard state.seriesCount < Self.seriesMax else { return series }
            state.seriesCount += 1
            family.series[labels] = series
            state.families[name] = family
            return series
        }
    }

    // MARK: Exposition

    /// All metrics in the order of their names.
    func exposition() -> String {
        let families = self.state.withLock { Array($0.families.values) }
        var text = ""
        for family in families.sorted(by: { $0.name < $1.name }) {
            text += "# HELP \(family.name) \(family.help)\n# TYPE \(family.name) \(family.kind.rawValue)\n"
            for (labels, series) in family.series.sorted(by: { $0.key < $1.key }) {
                switch family.kind {
                case .histogram: Self.write(series.histogram(), family, labels, to: &text)
                case .counter, .gauge: text += "\(family.name)\(Self.braced(labels)) \(Self.number(series.value()))\n"
                }
            }
        }
        return text
    }

    private static func write(
        _ histogram: MetricSeries.Histogram, _ family: Family, _ labels: String, to text: inout String
    ) {
        let prefix = labels.isEmpty ? "" : labels + ","
        var cumulated = 0
        for (bound, count) in zip(family.bounds.map(Self.number) + ["+Inf"], histogram.counts) {
            cumulated += count
            text += "\(family.name)_bucket{\(prefix)le=\"\(bound)\"} \(cumulated)\n"
        }
        text += "\(family.name)_sum\(Self.braced(labels)) \(Self.number(histogram.sum))\n"
        text += "\(family.name)_count\(Self.braced(labels)) \(cumulated)\n"
    }

    private static func braced(_ labels: String) -> String { labels.isEmpty ? "" : "{\(labels)}" }

    /// Whole numbers without a point.
    private static func number(_ value: Double) -> String {
        Int64(exactly: value).map { "\($0)" } ?? "\(value)"
    }

    private static func text(of dimensions: [(String, String)]) -> String {
        dimensions.sorted { $0.0 < $1.0 }.map { name, value in
            let escaped = value.reduce(into: "") { text, character in
                switch character {
                case "\\": text += "\\\\"
                case "\"": text += "\\\""
                case "\n", "\r\n": text += "\\n"
                default: text.append(character)
                }
            }
            return "\(name)=\"\(escaped)\""
        }.joined(separator: ",")
    }
}

/// One value, or one distribution.
final class MetricSeries: CounterHandler, FloatingPointCounterHandler, MeterHandler, RecorderHandler, TimerHandler,
    Sendable
{
    struct Histogram {
        /// Values up to each bound and above the one before, then those above the last.
        var counts: [Int]
        var sum: Double
    }

    private struct State {
        var value = 0.0
        var counts: [Int]
    }

    /// Empty for a single value.
    private let bounds: [Double]
    private let state: Mutex<State>

    init(bounds: [Double]) {
        self.bounds = bounds
        self.state = Mutex(State(counts: bounds.isEmpty ? [] : Array(repeating: 0, count: bounds.count + 1)))
    }

    func value() -> Double { self.state.withLock { $0.value } }

    func histogram() -> Histogram { self.state.withLock { Histogram(counts: $0.counts, sum: $0.value) } }

    /// Replaces a distribution by one that was counted elsewhere.
    func set(_ histogram: Histogram) {
        self.state.withLock { state in
            state.counts = histogram.counts
            state.value = histogram.sum
        }
    }

    // MARK: Handlers

    func increment(by amount: Int64) { self.add(Double(amount)) }
    func increment(by amount: Double) { self.add(amount) }
    func decrement(by amount: Double) { self.add(-amount) }
    func set(_ value: Int64) { self.set(Double(value)) }
    func set(_ value: Double) { self.state.withLock { $0.value = value } }
    func reset() { self.set(0.0) }
    func record(_ value: Int64) { self.record(Double(value)) }
    func recordNanoseconds(_ duration: Int64) { self.record(Double(duration) / 1_000_000_000) }

    func record(_ value: Double) {
        guard !self.bounds.isEmpty else { return self.set(value) }
        let index = self.bounds.firstIndex { value <= $0 } ?? self.bounds.count
        self.state.withLock { state in
            state.counts[index] += 1
            state.value += value
        }
    }

    private func add(_ amount: Double) { self.state.withLock { $0.value += amount } }
}
