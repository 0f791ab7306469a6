import Testing

@testable import SyncCore

@Suite("Heap")
struct MinHeapTests {
    @Test("Elements come out in order, however they went in", arguments: 0..<20)
    func order(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let numbers = (0..<Int(seed * 7)).map { _ in Int.random(in: 0..<50, using: &random) }
        var built = MinHeap(numbers)
        var grown = MinHeap<Int>()
        for number in numbers { grown.insert(number) }
        #expect(built.min == numbers.min())
        #expect(grown.count == numbers.count)
        var popped: ([Int], [Int]) = ([], [])
        while let number = built.popMin() { popped.0.append(number) }
        while let number = grown.popMin() { popped.1.append(number) }
        #expect(popped.0 == numbers.sorted())
        #expect(popped.1 == numbers.sorted())
    }
}
