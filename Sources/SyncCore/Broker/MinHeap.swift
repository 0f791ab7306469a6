/// A binary heap whose least element is at hand.
struct MinHeap<Element: Comparable & Sendable>: Sendable {
    private(set) var elements: [Element] = []

    init() {}

    /// In linear time.
    init(_ elements: some Sequence<Element>) {
        self.elements = Array(elements)
        for index in stride(from: self.elements.count / 2 - 1, through: 0, by: -1) { self.siftDown(from: index) }
    }

    var count: Int { self.elements.count }
    var min: Element? { self.elements.first }

    mutating func insert(_ element: Element) {
        self.elements.append(element)
        var index = self.elements.count - 1
        while index > 0, self.elements[index] < self.elements[(index - 1) / 2] {
            self.elements.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    mutating func popMin() -> Element? {
        guard let min = self.elements.first else { return nil }
        self.elements.swapAt(0, self.elements.count - 1)
        self.elements.removeLast()
        self.siftDown(from: 0)
        return min
    }

    private mutating func siftDown(from start: Int) {
        var index = start
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2]
            where child < self.elements.count && self.elements[child] < self.elements[least] {
                least = child
            }
            guard least != index else { return }
            self.elements.swapAt(index, least)
            index = least
        }
    }
}
