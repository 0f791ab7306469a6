import SyncStorage

/// The metrics that a server may expose (docs/contract/operations.md §12). Names are as written there.
enum MetricCatalogue {
    enum Kind: String {
        case counter
        case gauge
        case histogram
    }

    struct Entry {
        var name: String
        var kind: Kind
        /// One sentence without a full stop.
        var help: String
        /// Upper bounds in ascending order, in the unit of the name; for histograms.
        var bounds: [Double] = []
    }

    /// Upper bounds of pushes in one commit.
    static let batchBounds = BatchSizes.bounds.map { Double($0) }
    private static let millisecondBounds: [Double] = [
        0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000,
    ]
    private static let secondBounds: [Double] = [
        0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60,
    ]

    static let all: [Entry] = [
        Entry(name: "build_info", kind: .gauge, help: "Always 1; the version is a label"),
        Entry(name: "rpc_requests_total", kind: .counter, help: "RPC requests answered, by method and outcome"),
        Entry(
            name: "rpc_duration_ms", kind: .histogram, help: "Milliseconds from an RPC request to its answer",
            bounds: millisecondBounds),
        Entry(name: "ws_connections", kind: .gauge, help: "Open WebSockets that have authenticated"),
        Entry(
            name: "ws_slow_consumer_closes_total", kind: .counter,
            help: "Connections closed with 4006 because they read too slowly"),
        Entry(name: "auth_failures_total", kind: .counter, help: "Tokens that were not accepted, by reason"),
        Entry(name: "broker_spaces_watched", kind: .gauge, help: "Spaces that somebody is subscribed to"),
        Entry(name: "storage_push_records_total", kind: .counter, help: "Records written by accepted pushes"),
        Entry(name: "storage_pull_records_total", kind: .counter, help: "Entries sent by pulls"),
        Entry(name: "storage_commits_total", kind: .counter, help: "Write transactions committed"),
        Entry(name: "storage_pushes_total", kind: .counter, help: "Pushes decided by them, conflicts included"),
        Entry(
            name: "storage_commit_pushes", kind: .histogram, help: "Pushes that shared one commit",
            bounds: batchBounds),
        Entry(name: "storage_pushes_queued", kind: .gauge, help: "Pushes that wait for their commit"),
        Entry(name: "storage_pulls_open", kind: .gauge, help: "Pulls that hold a connection"),
        Entry(name: "storage_pulls_waiting", kind: .gauge, help: "Pulls that wait for one"),
        Entry(name: "storage_pool_size", kind: .gauge, help: "Database connections that may be open"),
        Entry(name: "storage_pool_in_use", kind: .gauge, help: "Database connections in use"),
        Entry(
            name: "http_requests_total", kind: .counter,
            help: "HTTP requests answered, by route, method and status; upgrades are not among them"),
        Entry(
            name: "http_request_duration_seconds", kind: .histogram,
            help: "Seconds from an HTTP request's head to its answer", bounds: secondBounds),
        Entry(
            name: "file_bytes_total", kind: .counter, help: "Bytes of files received, sent and reclaimed, by direction"),
        Entry(
            name: "log_lines_dropped_total", kind: .counter,
            help: "Lines of the log that were not written because nobody read them"),
        Entry(name: "job_runs_total", kind: .counter, help: "Runs of background jobs, by outcome"),
    ]

    private static let byName = Dictionary(uniqueKeysWithValues: Self.all.map { ($0.name, $0) })

    static func entry(_ name: String) -> Entry? { self.byName[name] }
}
