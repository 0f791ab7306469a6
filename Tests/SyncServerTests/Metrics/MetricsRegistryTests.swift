import Metrics
import SyncStorage
import Testing

@testable import SyncServer

@Suite("Metrics registry")
struct MetricsRegistryTests {
    @Test("Counters and gauges, by name and labels, in text format")
    func exposition() {
        let registry = MetricsRegistry()
        let ok = [("outcome", "ok"), ("method", "push")]
        Counter(label: "rpc_requests_total", dimensions: ok, factory: registry).increment(by: 2)
        Counter(label: "rpc_requests_total", dimensions: ok.reversed(), factory: registry).increment()
        Counter(label: "rpc_requests_total", dimensions: [("method", "pull"), ("outcome", "ok")], factory: registry)
            .increment()
        let connections = Meter(label: "ws_connections", dimensions: [("kind", "client")], factory: registry)
        connections.increment(by: 3)
        connections.decrement(by: 1)
        #expect(
            registry.exposition() == """
                # HELP rpc_requests_total RPC requests answered, by method and outcome
                # TYPE rpc_requests_total counter
                rpc_requests_total{method="pull",outcome="ok"} 1
                rpc_requests_total{method="push",outcome="ok"} 3
                # HELP ws_connections Open WebSockets that have authenticated
                # TYPE ws_connections gauge
                ws_connections{kind="client"} 2

                """)
    }

    @Test("A histogram is cumulative and ends with +Inf, sum and count")
    func histogram() {
        let registry = MetricsRegistry()
        let recorder = Recorder(label: "storage_commit_pushes", aggregate: true, factory: registry)
        for value in [1, 2, 3, 4, 300] { recorder.record(value) }
        let lines = registry.exposition().split(separator: "\n").dropFirst(2).map(String.init)
        let bounds = ["1", "2", "4", "8", "16", "32", "64", "128", "256", "+Inf"]
        let counts = [1, 2, 4, 4, 4, 4, 4, 4, 4, 5]
        #expect(
            lines == zip(bounds, counts).map { "storage_commit_pushes_bucket{le=\"\($0)\"} \($1)" }
                + ["storage_commit_pushes_sum 310", "storage_commit_pushes_count 5"])
    }

    @Test("Labels are escaped, and timers count in seconds")
    func escaping() {
        let registry = MetricsRegistry()
        Counter(label: "x_total", dimensions: [("a", "q\"b\\n\nz")], factory: registry).increment()
        #expect(registry.exposition().contains(#"x_total{a="q\"b\\n\nz"} 1"#))
        Metrics.Timer(label: "y", factory: registry).recordNanoseconds(1_500_000_000)
        #expect(registry.exposition().contains("y_sum 1.5\n"))
    }

    @Test("The number of series is bounded")
    func bound() {
        let registry = MetricsRegistry()
        for number in 0...MetricsRegistry.seriesMax {
            Counter(label: "x_total", dimensions: [("n", "\(number)")], factory: registry).increment()
        }
        let lines = registry.exposition().split(separator: "\n")
        #expect(lines.count == MetricsRegistry.seriesMax + 2)
        #expect(!lines.contains { $0.contains("\"\(MetricsRegistry.seriesMax)\"") })
        // Those that exist go on counting.
        Counter(label: "x_total", dimensions: [("n", "0")], factory: registry).increment()
        #expect(registry.exposition().contains("x_total{n=\"0\"} 2\n"))
    }

    @Test("Sizes of batches are counted in classes; commits without pushes are not")
    func batches() {
        var batches = BatchSizes()
        for pushes in [0, 1, 1, 3, 256, 257] { batches.record(pushes: pushes) }
        #expect(batches.counts == [2, 0, 1, 0, 0, 0, 0, 0, 1, 1])
        #expect(batches.pushes == 518)
    }
}
