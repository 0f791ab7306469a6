/// How often each duration occurred, in bounded memory.
///
/// Each power of two is divided into 128 equal buckets, so that a value is known to within 1/128 (0.8 %) of itself; below 128 ns,
/// exactly. Values above `valueMax` count as `valueMax`. After HdrHistogram, which see.
package struct LatencyHistogram: Sendable, Hashable {
    /// Nanoseconds, 73 minutes.
    package static let valueMax: UInt64 = 1 << 42 - 1
    /// Upper bound of (reported − recorded) ÷ recorded.
    package static let relativeErrorMax = 1.0 / 128

    private static let halfBits = 7
    private static let half = 1 << halfBits
    private static let bucketCount = Self.index(of: Self.valueMax) + 1

    private var buckets = [UInt64](repeating: 0, count: Self.bucketCount)
    package private(set) var count: UInt64 = 0
    /// Exact, as are `max` and `mean`. 0 when nothing was recorded.
    package private(set) var min: UInt64 = 0
    package private(set) var max: UInt64 = 0
    private var sum = 0.0

    package init() {}

    package var mean: Double { self.count == 0 ? 0 : self.sum / Double(self.count) }

    package mutating func record(_ value: UInt64) {
        let value = Swift.min(value, Self.valueMax)
        self.buckets[Self.index(of: value)] += 1
        self.min = self.count == 0 ? value : Swift.min(self.min, value)
        self.max = Swift.max(self.max, value)
        self.count += 1
        self.sum += Double(value)
    }

    package mutating func merge(_ other: LatencyHistogram) {
        guard other.count > 0 else { return }
        for index in self.buckets.indices { self.buckets[index] += other.buckets[index] }
        self.min = self.count == 0 ? other.min : Swift.min(self.min, other.min)
        self.max = Swift.max(self.max, other.max)
        self.count += other.count
        self.sum += other.sum
    }

    /// The smallest duration that at least `percent` of the values do not exceed, rounded up to the end of its bucket.
    ///
    /// - Parameter percent: 0...100.
    package func percentile(_ percent: Double) -> UInt64 {
        guard self.count > 0 else { return 0 }
        let share = Swift.min(Swift.max(percent, 0), 100) / 100 * Double(self.count)
        // 99.9 % of 1,000 is a little more than 999 in binary.
        let rank = Swift.max(1, UInt64((share * (1 - 1e-12)).rounded(.up)))
        var seen: UInt64 = 0
        for (index, count) in self.buckets.enumerated() where count > 0 {
            seen += count
            if seen >= rank { return Swift.min(Self.upperBound(of: index), self.max) }
        }
        return self.max
    }

    static func index(of value: UInt64) -> Int {
        guard value >= UInt64(Self.half) else { return Int(value) }
        let shift = UInt64.bitWidth - 1 - value.leadingZeroBitCount - Self.halfBits
        return shift * Self.half + Int(value >> UInt64(shift))
    }

    static func upperBound(of index: Int) -> UInt64 {
        guard index >= 2 * Self.half else { return UInt64(index) }
        let shift = UInt64(index / Self.half - 1)
        let start = UInt64(Self.half + index % Self.half)
        return (start + 1) << shift - 1
    }
}
