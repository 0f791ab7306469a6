import SyncAuth
import Testing

@Suite("Recently used values")
struct RecentlyUsedTests {
    @Test("Bounded, and what is used survives what is not")
    func bounded() {
        var values = RecentlyUsed<Int, String>(countMax: 8)
        for key in 0..<1_000 {
            values.insert("\(key)", for: key)
            #expect(values.count <= 8)
            #expect(values.value(for: 0) == "0", "used after \(key)")
        }
        #expect(values.value(for: 999) == "999")
        #expect(values.value(for: 500) == nil)
    }

    @Test("A value replaced while it is old is one value")
    func replaced() {
        var values = RecentlyUsed<String, Int>(countMax: 4)
        for (value, key) in ["a", "b", "c"].enumerated() { values.insert(value, for: key) }
        values.insert(7, for: "a")
        #expect(values.value(for: "a") == 7)
        #expect(values.count == 3)
    }

    @Test("Removed is gone, young or old")
    func removed() {
        var values = RecentlyUsed<String, Int>(countMax: 4)
        for (value, key) in ["a", "b", "c"].enumerated() { values.insert(value, for: key) }
        for key in ["a", "c", "unknown"] { values.remove(key) }
        #expect(values.value(for: "a") == nil)
        #expect(values.value(for: "b") == 1)
        #expect(values.value(for: "c") == nil)
        #expect(values.count == 1)
    }
}
