import DequeModule
import SyncProtocol
import Synchronization

/// A bounded FIFO queue between one producer, which waits for room, and a consumer that exists only while there is something
/// to do: an idle connection keeps no task for its second lane.
///
/// Bounded twice, by elements and by the sum of their costs; a single element may exceed the cost bound by itself.
final class RequestQueue<Element: Sendable>: Sendable {
    enum Appended: Equatable {
        /// A consumer is at work and will come to it.
        case queued
        /// The caller has to start a consumer, which calls `next()` until it answers `nil`.
        case needsConsumer
        /// The task was cancelled before there was room.
        case cancelled
    }

    private struct State {
        var elements: Deque<(element: Element, cost: Int)> = []
        var cost = 0
        var hasConsumer = false
        var producer: CheckedContinuation<Void, Never>?
    }

    // Fixed after init.
    private let elementsMax: Int
    private let costMax: Int

    // Guarded by itself.
    private let state = Mutex(State())

    init(elementsMax: Int, costMax: Int) {
        self.elementsMax = elementsMax
        self.costMax = costMax
    }

    /// Waits for room, then appends.
    func append(_ element: Element, cost: Int) async -> Appended {
        while !Task.isCancelled {
            let appended = self.state.withLock { state -> Appended? in
                guard self.hasRoom(for: cost, in: state) else { return nil }
                state.elements.append((element, cost))
                state.cost += cost
                defer { state.hasConsumer = true }
                return state.hasConsumer ? .queued : .needsConsumer
            }
            if let appended { return appended }
            await self.state.wait(at: \.producer) { self.hasRoom(for: cost, in: $0) }
        }
        return .cancelled
    }

    /// The oldest element. After `nil` the consumer must end: the next element gets one of its own.
    func next() -> Element? {
        let (element, producer) = self.state.withLock { state in
            guard let (element, cost) = state.elements.popFirst() else {
                state.elements = []
                state.hasConsumer = false
                return (Element?.none, CheckedContinuation<Void, Never>?.none)
            }
            state.cost -= cost
            return (element, state.producer.take())
        }
        producer?.resume()
        return element
    }

    private func hasRoom(for cost: Int, in state: State) -> Bool {
        state.elements.isEmpty || (state.elements.count < self.elementsMax && state.cost + cost <= self.costMax)
    }
}
