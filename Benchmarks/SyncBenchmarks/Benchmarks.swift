import Benchmark

/// Everything that is measured, under the names of docs/contract/operations.md §9. `Scripts/bench` runs it.
let benchmarks: @Sendable () -> Void = {
    registerCodecBenchmarks()
    registerChainBenchmarks()
    registerBrokerBenchmarks()
    registerStorageBenchmarks()
    registerSocketBenchmarks()
}
