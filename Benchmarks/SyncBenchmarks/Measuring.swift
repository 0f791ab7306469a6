import Benchmark
import CAllocations
import Glibc
import Synchronization

extension BenchmarkMetric {
    /// Calls of the allocator by any thread of the process, per operation.
    static let allocations = BenchmarkMetric.custom("Allocations")
    /// Bytes that those calls asked for.
    static let allocatedBytes = BenchmarkMetric.custom("Allocated bytes")
    /// CPU time of all threads of the process, per operation.
    static let processTime = BenchmarkMetric.custom("CPU time of the process (ns)")
}

extension Benchmark {
    /// Metrics of every benchmark here: time, and what does not depend on the load of the machine.
    static var metrics: [BenchmarkMetric] { [.wallClock, .processTime, .allocations, .allocatedBytes] }

    /// One sample of work in this thread: a thousand calls of `body`, so that the clock costs nothing.
    static var microbenchmark: Configuration {
        Configuration(
            metrics: Benchmark.metrics, warmupIterations: 10, scalingFactor: .kilo, maxDuration: .milliseconds(500))
    }

    /// One sample of work in this thread that takes hundreds of microseconds: one call.
    static var verification: Configuration {
        Configuration(
            metrics: Benchmark.metrics, warmupIterations: 5, scalingFactor: .one, maxDuration: .seconds(1))
    }

    /// One sample of work that waits for a disk, a socket or other threads: one call.
    static var operation: Configuration {
        Configuration(
            metrics: Benchmark.metrics, warmupIterations: 20, scalingFactor: .one, maxDuration: .seconds(3))
    }

    /// Measures as many calls of `body` as the configuration's scaling factor says.
    func sample(_ body: () throws -> Void) rethrows {
        let before = ProcessUse.now()
        self.startMeasurement()
        for _ in self.scaledIterations { try body() }
        self.stopMeasurement()
        self.record(ProcessUse.now() - before)
    }

    /// As the other `sample`, for work that waits.
    func sample(_ body: () async throws -> Void) async rethrows {
        let before = ProcessUse.now()
        self.startMeasurement()
        for _ in self.scaledIterations { try await body() }
        self.stopMeasurement()
        self.record(ProcessUse.now() - before)
    }

    private func record(_ use: ProcessUse) {
        self.measurement(.processTime, use.nanoseconds)
        self.measurement(.allocations, use.allocations)
        self.measurement(.allocatedBytes, use.allocatedBytes)
    }
}

/// What this process has used since its start.
private struct ProcessUse {
    var nanoseconds: Int
    var allocations: Int
    var allocatedBytes: Int

    static func now() -> ProcessUse {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return ProcessUse(
            nanoseconds: time.tv_sec * 1_000_000_000 + time.tv_nsec, allocations: Int(allocations_count()),
            allocatedBytes: Int(allocations_bytes()))
    }

    static func - (later: ProcessUse, earlier: ProcessUse) -> ProcessUse {
        ProcessUse(
            nanoseconds: later.nanoseconds - earlier.nanoseconds,
            allocations: later.allocations - earlier.allocations,
            allocatedBytes: later.allocatedBytes - earlier.allocatedBytes)
    }
}

/// Something that a benchmark needs open: made before its first sample, closed after its last.
protocol BenchmarkFixture: Sendable {
    func close() async throws
}

extension Benchmark {
    /// Registers a benchmark of `fixture`.
    static func with<Fixture: BenchmarkFixture>(
        _ name: String, _ configuration: Configuration = Benchmark.operation,
        fixture: @escaping @Sendable () async throws -> Fixture,
        _ body: @escaping @Sendable (Benchmark, Fixture) async throws -> Void
    ) {
        let open = Mutex<Fixture?>(nil)
        Benchmark(
            name, configuration: configuration,
            closure: { benchmark in
                guard let fixture = open.withLock({ $0 }) else { return benchmark.error("\(name): no fixture") }
                try await body(benchmark, fixture)
            },
            setup: {
                let fixture = try await fixture()
                open.withLock { $0 = fixture }
            },
            teardown: { try await open.withLock { $0.take() }?.close() })
    }
}
