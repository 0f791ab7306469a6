import FoundationEssentials
import Synchronization

/// A time that a test sets.
final class Time: Sendable {
    private let time: Mutex<Date>

    init(_ time: Date) { self.time = Mutex(time) }

    var now: Date {
        get { self.time.withLock { $0 } }
        set { self.time.withLock { $0 = newValue } }
    }
}

/// Values in the order in which they came.
final class Order: Sendable {
    private let order = Mutex<[Int]>([])

    var values: [Int] { self.order.withLock { $0 } }

    func append(_ value: Int) { self.order.withLock { $0.append(value) } }
}
