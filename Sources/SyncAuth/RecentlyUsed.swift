/// A bounded dictionary that forgets what has not been used for longest, roughly: two generations of equal size, of which
/// the older is dropped when the younger is full.
package struct RecentlyUsed<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private var younger: [Key: Value] = [:]
    private var older: [Key: Value] = [:]
    private let generationMax: Int

    /// - Parameter countMax: Values kept at most, 2 or more.
    package init(countMax: Int) { self.generationMax = max(1, countMax / 2) }

    package var count: Int { self.younger.count + self.older.count }

    /// The value of `key`, which is thereby used.
    package mutating func value(for key: Key) -> Value? {
        if let value = self.younger[key] { return value }
        guard let value = self.older[key] else { return nil }
        self.insert(value, for: key)
        return value
    }

    package mutating func insert(_ value: Value, for key: Key) {
        self.older[key] = nil
        if self.younger[key] == nil, self.younger.count >= self.generationMax {
            self.older = self.younger
            self.younger = [:]
        }
        self.younger[key] = value
    }

    package mutating func remove(_ key: Key) {
        self.younger[key] = nil
        self.older[key] = nil
    }
}
