import DequeModule
import Synchronization

/// A bounded FIFO queue between one producer and one consumer, both of which wait. Either side's cancelled wait ends with
/// `false` or `nil`.
///
/// Bounded twice, by elements and by the sum of their costs; a single element may exceed the cost bound by itself.
final class RequestQueue<Element: Sendable>: Sendable {
    private struct State {
        var elements: Deque<(element: Element, cost: Int)> = []
        var cost = 0
        var isFinished = false
        var producer: CheckedContinuation<Void, Never>?
        var consumer: CheckedContinuation<Void, Never>?
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
    ///
    /// - Returns: False when the task was cancelled before there was room.
    func append(_ element: Element, cost: Int) async -> Bool {
        while !Task.isCancelled {
            let (isAppended, consumer) = self.state.withLock { state -> (Bool, CheckedContinuation<Void, Never>?) in
                guard self.hasRoom(for: cost, in: state) else { return (false, nil) }
                state.elements.append((element, cost))
                state.cost += cost
                return (true, state.consumer.take())
            }
            consumer?.resume()
            if isAppended { return true }
            await self.wait(at: \.producer, until: { self.hasRoom(for: cost, in: $0) })
        }
        return false
    }

    /// The oldest element; `nil` at the end or when the task is cancelled.
    func next() async -> Element? {
        while !Task.isCancelled {
            let (element, isOver, producer) = self.state.withLock { state in
                let first = state.elements.popFirst()
                state.cost -= first?.cost ?? 0
                return (first?.element, first == nil && state.isFinished, first == nil ? nil : state.producer.take())
            }
            producer?.resume()
            if element != nil || isOver { return element }
            await self.wait(at: \.consumer, until: { !$0.elements.isEmpty || $0.isFinished })
        }
        return nil
    }

    /// Nothing more will be appended: `next` answers `nil` once the queue is empty.
    func finish() {
        let consumer = self.state.withLock { state in
            state.isFinished = true
            return state.consumer.take()
        }
        consumer?.resume()
    }

    private func hasRoom(for cost: Int, in state: State) -> Bool {
        state.elements.isEmpty || (state.elements.count < self.elementsMax && state.cost + cost <= self.costMax)
    }

    /// Parks the calling task in its slot unless what it waits for is true already. Woken by the other side or cancelled.
    private func wait(
        at slot: any WritableKeyPath<State, CheckedContinuation<Void, Never>?> & Sendable,
        until isReady: (State) -> Bool
    ) async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isReadyNow = self.state.withLock { state in
                    guard !Task.isCancelled, !isReady(state) else { return true }
                    state[keyPath: slot] = continuation
                    return false
                }
                if isReadyNow { continuation.resume() }
            }
        } onCancel: {
            let waiting = self.state.withLock { $0[keyPath: slot].take() }
            waiting?.resume()
        }
    }
}
