import DequeModule
import SyncProtocol
import Synchronization

/// A chunk as it came, to be decoded by its consumer.
struct ReceivedChunk: Sendable {
    var name: String
    var data: FramePayload

    /// - Throws: `.protocolViolation`, for another name as well.
    func decode<Data: WireDecodable>(_ name: ChunkName) throws(SyncClientError) -> Data {
        do {
            guard self.name == name.rawValue else { throw CBORError.typeMismatch }
            return try self.data.decode()
        } catch {
            throw .protocolViolation("chunk \(self.name)")
        }
    }
}

/// Chunks on their way from the connection to their consumer, at most `chunksMax` of them and about `bytesMax` bytes: a
/// full channel stops the connection from being read.
final class ChunkChannel: Sendable {
    static let chunksMax = 64
    static let bytesMax = 4_194_304

    private struct State {
        var chunks: Deque<ReceivedChunk> = []
        var bytes = 0
        var consumer: CheckedContinuation<ReceivedChunk?, Never>?
        var producer: CheckedContinuation<Void, Never>?
        var hasEnded = false

        /// The end makes room: the producer is not to wait for a consumer that may have gone.
        var hasRoom: Bool {
            self.hasEnded || self.chunks.count < ChunkChannel.chunksMax && self.bytes < ChunkChannel.bytesMax
        }

        mutating func pop() -> ReceivedChunk? {
            guard let first = self.chunks.popFirst() else { return nil }
            self.bytes -= first.data.byteCount
            return first
        }
    }

    private let state = Mutex(State())

    /// Waits while the channel is full. After `end` the chunk is dropped.
    func send(_ chunk: ReceivedChunk) async {
        let (consumer, hasRoom) = self.state.withLock { state -> (CheckedContinuation<ReceivedChunk?, Never>?, Bool) in
            if state.hasEnded { return (nil, true) }
            if let consumer = state.consumer.take() { return (consumer, true) }
            state.chunks.append(chunk)
            state.bytes += chunk.data.byteCount
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
    func next() async -> ReceivedChunk? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { (consumer: CheckedContinuation<ReceivedChunk?, Never>) in
                let (answer, producer) = self.state.withLock {
                    state -> (ReceivedChunk??, CheckedContinuation<Void, Never>?) in
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
