import DequeModule
import Synchronization

/// Chunks on their way from the connection to a pull's consumer, at most `chunksMax` of them and about `bytesMax` bytes: a
/// full channel stops the connection from being read.
final class ChunkChannel: Sendable {
    static let chunksMax = 64
    static let bytesMax = 4_194_304

    private struct State {
        var chunks: Deque<(chunk: PullChunk, bytes: Int)> = []
        var bytes = 0
        var consumer: CheckedContinuation<PullChunk?, Never>?
        var producer: CheckedContinuation<Void, Never>?
        var hasEnded = false

        /// The end makes room: the producer is not to wait for a consumer that may have gone.
        var hasRoom: Bool {
            self.hasEnded || self.chunks.count < ChunkChannel.chunksMax && self.bytes < ChunkChannel.bytesMax
        }

        mutating func pop() -> PullChunk? {
            guard let first = self.chunks.popFirst() else { return nil }
            self.bytes -= first.bytes
            return first.chunk
        }
    }

    private let state = Mutex(State())

    /// Waits while the channel is full. After `end` the chunk is dropped.
    func send(_ chunk: PullChunk, bytes: Int) async {
        let (consumer, hasRoom) = self.state.withLock { state -> (CheckedContinuation<PullChunk?, Never>?, Bool) in
            if state.hasEnded { return (nil, true) }
            if let consumer = state.consumer.take() { return (consumer, true) }
            state.chunks.append((chunk, bytes))
            state.bytes += bytes
            return (nil, state.hasRoom)
        }
        consumer?.resume(returning: chunk)
        if hasRoom { return }
        await withCheckedContinuation { (producer: CheckedContinuation<Void, Never>) in
            let mayGoOn = self.state.withLock { state -> Bool in
                if !state.hasRoom { state.producer = producer }
                return state.hasRoom
            }
            if mayGoOn { producer.resume() }
        }
    }

    /// The next chunk, `nil` after the last one. Cancelling the task ends the channel.
    func next() async -> PullChunk? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { (consumer: CheckedContinuation<PullChunk?, Never>) in
                let (answer, producer) = self.state.withLock {
                    state -> (PullChunk??, CheckedContinuation<Void, Never>?) in
                    if let chunk = state.pop() { return (.some(chunk), state.hasRoom ? state.producer.take() : nil) }
                    if state.hasEnded { return (.some(nil), nil) }
                    state.consumer = consumer
                    return (nil, nil)
                }
                producer?.resume()
                if let answer { consumer.resume(returning: answer) }
            }
        } onCancel: {
            self.end()
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
