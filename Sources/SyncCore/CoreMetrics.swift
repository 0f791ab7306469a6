package import Metrics
import Synchronization

/// The metrics of sessions and spaces (docs/contract/operations.md §12). Labels come from closed sets: method names of the
/// method table plus `unknown`, and outcomes.
package final class CoreMetrics: Sendable {
    private struct RequestKey: Hashable {
        let method: String
        let outcome: String
    }

    private struct RequestHandlers {
        var counters: [RequestKey: Counter] = [:]
        var durations: [String: Recorder] = [:]
    }

    // Fixed after init.
    private let factory: any MetricsFactory
    private let connections: Meter
    private let spacesWatched: Meter
    private let slowConsumers: Counter
    private let recordsPushed: Counter
    private let recordsPulled: Counter
    private let presenceSweeps: Counter

    // Guarded by itself. Handlers are made on first use, so that the exposition shows no series that never happened.
    private let requests = Mutex(RequestHandlers())

    package init(factory: any MetricsFactory) {
        self.factory = factory
        self.connections = Meter(label: "ws_connections", dimensions: [("kind", "client")], factory: factory)
        self.spacesWatched = Meter(label: "broker_spaces_watched", factory: factory)
        self.slowConsumers = Counter(label: "ws_slow_consumer_closes_total", factory: factory)
        self.recordsPushed = Counter(label: "storage_push_records_total", factory: factory)
        self.recordsPulled = Counter(label: "storage_pull_records_total", factory: factory)
        self.presenceSweeps = Counter(
            label: "job_runs_total", dimensions: [("job", "presence_cleanup"), ("outcome", "success")],
            factory: factory)
        self.connections.set(0)
        self.spacesWatched.set(0)
    }

    func connectionOpened() { self.connections.increment() }

    func connectionClosed() { self.connections.decrement() }

    func watchedSpacesChanged(by difference: Int) {
        if difference > 0 {
            self.spacesWatched.increment(by: Double(difference))
        } else {
            self.spacesWatched.decrement(by: Double(-difference))
        }
    }

    func slowConsumerClosed() { self.slowConsumers.increment() }

    func pushed(records: Int) { self.recordsPushed.increment(by: records) }

    func pulled(records: Int) { self.recordsPulled.increment(by: records) }

    /// Stale presence has been looked for.
    func presenceSwept() { self.presenceSweeps.increment() }

    /// The first message of a connection had no token in it.
    func handshakeHadNoToken() {
        Counter(label: "auth_failures_total", dimensions: [("reason", "missing")], factory: self.factory).increment()
    }

    /// - Parameter method: A name of the method table, or `unknown`.
    func requestFinished(method: String, outcome: String, duration: Duration) {
        let (counter, recorder) = self.requests.withLock { handlers in
            let key = RequestKey(method: method, outcome: outcome)
            let counter =
                handlers.counters[key]
                ?? Counter(
                    label: "rpc_requests_total", dimensions: [("method", method), ("outcome", outcome)],
                    factory: self.factory)
            let recorder =
                handlers.durations[method]
                ?? Recorder(
                    label: "rpc_duration_ms", dimensions: [("method", method)], aggregate: true, factory: self.factory)
            handlers.counters[key] = counter
            handlers.durations[method] = recorder
            return (counter, recorder)
        }
        counter.increment()
        recorder.record(duration / .milliseconds(1))
    }
}
