import NIOCore
import SyncStorage
import Synchronization

/// The bytes of an open file, a chunk at a time. While one chunk is on its way the next is being read, so that disk and socket
/// work at once; no further ahead. The file is closed with the last iterator.
struct FileBody: AsyncSequence {
    typealias Element = ByteBuffer
    typealias Failure = BlobError

    /// Bytes of one read. A file in transit holds two of them in memory.
    static let chunkBytes = 128 * 1_024

    private let file: OpenFile
    private let range: Range<Int64>

    init(_ file: OpenFile, range: Range<Int64>) {
        self.file = file
        self.range = range
    }

    private static func count(_ range: Range<Int64>) -> Int {
        Int(Swift.min(Int64(Self.chunkBytes), Int64(range.count)))
    }

    struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate let file: OpenFile
        fileprivate var pending: PendingRead?
        fileprivate var range: Range<Int64>

        mutating func next() async throws(BlobError) -> ByteBuffer? { try await self.next(isolation: nil) }

        mutating func next(isolation: isolated (any Actor)?) async throws(BlobError) -> ByteBuffer? {
            if self.pending == nil { self.readAhead() }
            guard let pending = self.pending.take() else { return nil }
            let bytes = try await pending.value()
            self.readAhead()
            return bytes
        }

        private mutating func readAhead() {
            guard !self.range.isEmpty else { return }
            let count = FileBody.count(self.range)
            self.pending = PendingRead(self.file, count, at: self.range.lowerBound)
            self.range = (self.range.lowerBound + Int64(count))..<self.range.upperBound
        }
    }

    func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(file: self.file, range: self.range)
    }
}

/// A read that has begun.
private final class PendingRead: Sendable {
    private typealias Outcome = Result<ByteBuffer, BlobError>

    private enum State {
        case reading
        case awaited(CheckedContinuation<Outcome, Never>)
        case done(Outcome)
    }

    private let state = Mutex(State.reading)

    init(_ file: OpenFile, _ count: Int, at start: Int64) {
        FileThreads.shared.submit {
            let outcome: Outcome
            do throws(BlobError) {
                outcome = .success(try file.read(count, at: start))
            } catch {
                outcome = .failure(error)
            }
            let reader = self.state.withLock { state in
                defer { state = .done(outcome) }
                if case .awaited(let reader) = state { return reader as CheckedContinuation<Outcome, Never>? }
                return nil
            }
            reader?.resume(returning: outcome)
        }
    }

    /// Called once.
    func value() async throws(BlobError) -> ByteBuffer {
        let outcome = await withCheckedContinuation { (reader: CheckedContinuation<Outcome, Never>) in
            let outcome = self.state.withLock { state -> Outcome? in
                if case .done(let outcome) = state { return outcome }
                state = .awaited(reader)
                return nil
            }
            if let outcome { reader.resume(returning: outcome) }
        }
        return try outcome.get()
    }
}
