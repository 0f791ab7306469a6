import Synchronization

/// Chunks on their way from the connection to a pull's consumer, at most `chunksMax` of them: a full channel stops the
/// connection from being read.
final class ChunkChannel: Sendable {
    static let chunksMax = 64

    private struct State {
        var chunks: [PullChunk] = []
        var consumer: CheckedContinuation<PullChunk?, Never>?
        var producer: CheckedContinuation<Void, Never>?
        var hasEnded = false
    }

    private let state = Mutex(State())

    /// Waits while the channel is full. After `end` the chunk is dropped.
    func send(_ chunk: PullChunk) async {
        let isFull = self.state.withLock { state -> Bool in
            if state.hasEnded { return false }
            if let consumer = state.consumer.take() {
                consumer.resume(returning: chunk)
                return false
            }
            state.chunks.append(chunk)
            return state.chunks.count >= Self.chunksMax
        }
        guard isFull else { return }
        await withCheckedContinuation { (producer: CheckedContinuation<Void, Never>) in
            let mayGoOn = self.state.withLock { state -> Bool in
                if state.hasEnded || state.chunks.count < Self.chunksMax { return true }
                state.producer = producer
                return false
            }
            if mayGoOn { producer.resume() }
        }
    }

    /// The next chunk, `nil` after the last one.
    func next() async -> PullChunk? {
        await withCheckedContinuation { (consumer: CheckedContinuation<PullChunk?, Never>) in
            let (now, producer) = self.state.withLock { state -> (PullChunk??, CheckedContinuation<Void, Never>?) in
                if !state.chunks.isEmpty { return (.some(state.chunks.removeFirst()), state.producer.take()) }
                if state.hasEnded { return (.some(nil), nil) }
                state.consumer = consumer
                return (nil, nil)
            }
            producer?.resume()
            if let now { consumer.resume(returning: now) }
        }
    }

    /// No more chunks will be sent; those in the channel can still be taken.
    func end() {
        let (consumer, producer) = self.state.withLock { state in
            state.hasEnded = true
            return (state.consumer.take(), state.producer.take())
        }
        consumer?.resume(returning: nil)
        producer?.resume()
    }
}
