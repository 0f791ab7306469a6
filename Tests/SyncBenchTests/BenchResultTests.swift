import Foundation
import SyncProtocol
import Testing

@testable import SyncBench

@Suite("Result of a load run")
struct BenchResultTests {
    private static let second: UInt64 = 1_000_000_000

    private static func result(
        missed: Int = 0, _ change: (inout Recorder) -> Void = { _ in }
    ) -> BenchResult {
        var options = BenchOptions(.push)
        options.clients = 2
        options.batch = 10
        options.serverPID = 42
        var recorder = Recorder()
        recorder.measuredFrom = 10 * Self.second
        // Of the warm-up.
        recorder.record(.push, intended: 9 * Self.second, end: 11 * Self.second, records: 10, bytes: 10_240)
        for number in UInt64(1)...4 {
            let intended = (10 + number) * Self.second
            recorder.record(.push, intended: intended, end: intended + number * 1_000_000, records: 10, bytes: 10_240)
        }
        change(&recorder)
        let pair = { (cpu: Double, bytes: Int) in
            BenchResult.Usages.Pair(
                server: ProcessUsage(cpuSeconds: cpu, residentBytes: bytes),
                own: ProcessUsage(cpuSeconds: cpu / 10, residentBytes: 1))
        }
        return BenchResult(
            options, recorder, missed: missed, measuredFrom: 10 * Self.second, end: 20 * Self.second,
            .init(before: ProcessUsage(cpuSeconds: 1, residentBytes: 100), start: pair(2, 200), end: pair(4, 300)))
    }

    @Test("JSON: counts, rates from the end of the warm-up to the last operation, latencies, the server")
    func json() throws {
        let data = Data(Self.result().json.utf8)
        let json = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        #expect(json["seconds"] as? Double == 4.004)
        #expect(json["failed"] as? Int == 0)
        #expect(json["missed"] as? Int == 0)
        let push = try #require((json["operations"] as? [String: Any])?["push"] as? [String: Any])
        #expect(push["count"] as? Int == 4)
        #expect(push["records"] as? Int == 40)
        #expect(push["bytes"] as? Int == 40_960)
        #expect(push["per_second"] as? Double == 4 / 4.004)
        #expect(push["records_per_second"] as? Double == 40 / 4.004)
        let latencies = try #require(push["latency_us"] as? [String: Double])
        #expect(latencies["min"] == 1_000)
        #expect(latencies["max"] == 4_000)
        #expect(latencies["mean"] == 2_500)
        #expect(latencies["p50"].map { 2_000...2_016 ~= $0 } == true)
        let server = try #require(json["server"] as? [String: Any])
        #expect(server["cpu_seconds"] as? Double == 2)
        #expect(server["resident_bytes_before"] as? Int == 100)
        #expect(server["resident_bytes_end"] as? Int == 300)
        let options = try #require(json["options"] as? [String: Any])
        #expect(options["scenario"] as? String == "push")
        #expect(options["mode"] as? String == "closed loop")
        #expect(options["batch"] as? Int == 10)
        #expect(options["family"] as? String == "less-rpc-v1")
        #expect(options["spaces"] as? Int == 2)
    }

    @Test("a failure, a missed operation, or nothing at all is no success")
    func success() {
        #expect(Self.result().isSuccess)
        #expect(!Self.result(missed: 1).isSuccess)
        #expect(!Self.result { $0.fail("push: refused: conflict") }.isSuccess)
        let nothing = BenchResult(
            BenchOptions(.push), Recorder(), missed: 0, measuredFrom: 0, end: 1,
            .init(start: .init(), end: .init()))
        #expect(!nothing.isSuccess)
        #expect(nothing.text.hasPrefix("push: 1 clients"))
    }

    @Test("the text has a line for each operation and each kind of failure")
    func text() {
        let text = Self.result(missed: 3) { $0.fail("push: refused: conflict", count: 1_234) }.text
        #expect(text.contains("push: 2 clients, 2 spaces, 10 × 1024 bytes, closed loop, 4.0 s"))
        #expect(text.contains("500,000.0 µs for each push"))
        #expect(text.contains("failed: 1,234 × push: refused: conflict"))
        #expect(text.contains("failed: 3 operations were never sent at this rate"))
    }

    @Test("kinds of failures are bounded, their number is exact")
    func failures() {
        var recorder = Recorder()
        for number in 0..<100 { recorder.fail("failure \(number)") }
        #expect(recorder.failures.count == 21)
        #expect(recorder.failureCount == 100)
        var sum = Recorder()
        sum.merge(recorder)
        #expect(sum.failures == recorder.failures)
    }

    @Test("a line of progress tells rate and latencies since the line before")
    func progress() {
        var options = BenchOptions(.push)
        options.warmup = .seconds(2)
        var progress = BenchProgress(options, start: 0)
        var latencies = LatencyHistogram()
        for _ in 0..<500 { latencies.record(2_000_000) }
        var sample = BenchProgress.Sample()
        sample.add([.push: latencies], failures: 0, open: 8)
        #expect(
            progress.line(sample, at: Self.second)
                == "1 s   warm-up   push 500/s, p50 2.000 ms, p99 2.000 ms   8 connections")
        sample.add([.push: latencies], failures: 2, open: 0)
        #expect(
            progress.line(sample, at: 3 * Self.second)
                == "3 s   push 500/s, p50 2.000 ms, p99 2.000 ms   8 connections   2 failed")
    }

    @Test("processor time and memory are read from what the kernel writes, whatever the name of the program")
    func processUsage() throws {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 9 0 1 2 3"
        let usage = try #require(ProcessUsage(stat: stat, status: "Name:\tx\nVmRSS:\t  2048 kB\n", ticksPerSecond: 100))
        #expect(usage == ProcessUsage(cpuSeconds: 2, residentBytes: 2_097_152))
        #expect(ProcessUsage(stat: "42 (x", status: "", ticksPerSecond: 100) == nil)
        #expect(try #require(ProcessUsage.own).residentBytes > 1_000_000)
        #expect(ProcessUsage.of(-1) == nil)
    }
}
