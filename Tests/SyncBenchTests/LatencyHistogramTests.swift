import Testing

@testable import SyncBench

@Suite("Latency histogram")
struct LatencyHistogramTests {
    @Test("an empty one answers 0")
    func empty() {
        let histogram = LatencyHistogram()
        #expect(histogram.count == 0)
        #expect(histogram.percentile(50) == 0)
        #expect(histogram.mean == 0)
    }

    @Test("buckets cover every value without gap or overlap")
    func buckets() {
        var last = -1
        for value in UInt64(0)..<70_000 {
            let index = LatencyHistogram.index(of: value)
            #expect(index == last || index == last + 1)
            #expect(LatencyHistogram.upperBound(of: index) >= value)
            if index > 0 { #expect(LatencyHistogram.upperBound(of: index - 1) < value) }
            last = index
        }
    }

    @Test("the relative error is as documented over the whole range")
    func relativeError() {
        var random = SplitMix64(seed: 1)
        for _ in 0..<100_000 {
            let value = random.next() >> (22 + random.next() % 42)
            let reported = LatencyHistogram.upperBound(of: LatencyHistogram.index(of: value))
            #expect(reported >= value)
            #expect(Double(reported - value) <= Double(value) * LatencyHistogram.relativeErrorMax)
        }
    }

    @Test("percentiles of known distributions")
    func percentiles() {
        var histogram = LatencyHistogram()
        for value in UInt64(1)...10_000 { histogram.record(value * 1_000) }
        for (percent, exact) in [(50.0, 5_000_000.0), (90, 9_000_000), (99, 9_900_000), (99.9, 9_990_000)] {
            let reported = Double(histogram.percentile(percent))
            #expect(reported >= exact)
            #expect(reported <= exact * (1 + LatencyHistogram.relativeErrorMax))
        }
        #expect(histogram.percentile(100) == 10_000_000)
        #expect(histogram.percentile(0) <= 1_008)
        #expect(histogram.min == 1_000)
        #expect(histogram.max == 10_000_000)
        #expect(histogram.mean == 5_000_500)
        #expect(histogram.count == 10_000)
    }

    @Test("one slow value in a thousand is seen at p99.9 and beyond, not before")
    func outlier() {
        var histogram = LatencyHistogram()
        for _ in 0..<999 { histogram.record(100) }
        histogram.record(5_000_000_000)
        #expect(histogram.percentile(99.9) == 100)
        #expect(histogram.percentile(99.95) == 5_000_000_000)
    }

    @Test("values beyond the range count as its end")
    func overflow() {
        var histogram = LatencyHistogram()
        histogram.record(.max)
        #expect(histogram.max == LatencyHistogram.valueMax)
        #expect(histogram.percentile(50) == LatencyHistogram.valueMax)
    }

    @Test("merging is the same as recording into one")
    func merge() {
        var random = SplitMix64(seed: 7)
        var (one, other, both) = (LatencyHistogram(), LatencyHistogram(), LatencyHistogram())
        for index in 0..<5_000 {
            let value = random.next() >> 40
            if index % 3 == 0 { one.record(value) } else { other.record(value) }
            both.record(value)
        }
        one.merge(other)
        one.merge(LatencyHistogram())
        #expect(one.count == both.count)
        #expect(one.min == both.min)
        #expect(one.max == both.max)
        for percent in [1.0, 25, 50, 75, 99, 99.99] { #expect(one.percentile(percent) == both.percentile(percent)) }
    }
}
