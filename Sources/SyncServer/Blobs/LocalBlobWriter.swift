import NIOCore
import SyncStorage
import Synchronization

/// A temporary file that becomes an object.
final class LocalBlobWriter: BlobWriter {
    // fixed after init
    private let path: String
    private let length: Int64
    private let target: BlobLocation

    // guarded by state
    private let state: Mutex<State>

    private struct State {
        var phase: Phase
        /// Appended, not yet written.
        var pending = ByteBuffer()
        var written: Int64 = 0
    }

    private enum Phase {
        case writing(OpenFile)
        /// Whole and durable.
        case finished
        /// After a failure: to be abandoned.
        case broken
        /// There is no temporary file any more.
        case ended
    }

    /// - Parameter file: open for writing; `nil` for one that is finished.
    init(file: OpenFile?, path: String, length: Int64, target: BlobLocation) {
        self.path = path
        self.length = length
        self.target = target
        self.state = Mutex(State(phase: file.map { .writing($0) } ?? .finished))
    }

    func append(_ bytes: ByteBuffer) async throws(BlobError) {
        let isFull = try self.state.withLock { state throws(BlobError) in
            guard case .writing = state.phase else { throw Self.noObject }
            guard state.written + Int64(state.pending.readableBytes + bytes.readableBytes) <= self.length else {
                throw .tooLarge
            }
            if state.pending.readableBytes == 0 {
                state.pending = bytes
            } else {
                state.pending.writeImmutableBuffer(bytes)
            }
            return state.pending.readableBytes >= LocalBlobStore.chunkBytes
        }
        if isFull { try await self.flush(synchronizing: false) }
    }

    func finish() async throws(BlobError) {
        let isFinished = try self.state.withLock { state throws(BlobError) in
            if case .finished = state.phase { return true }
            guard case .writing = state.phase else { throw Self.noObject }
            guard state.written + Int64(state.pending.readableBytes) == self.length else { throw .incomplete }
            return false
        }
        guard !isFinished else { return }
        try await self.flush(synchronizing: true)
        self.state.withLock { $0.phase = .finished }
    }

    func publish(_ publication: BlobPublication) async throws(BlobError) -> Bool {
        try await self.finish()
        let path = self.path
        let target = self.target
        let isPublished = try await FileThreads.shared.run { () throws(BlobError) in
            try Self.publish(path, as: target, publication)
        }
        if isPublished { self.state.withLock { $0.phase = .ended } }
        return isPublished
    }

    func abandon() async {
        let isEnded = self.state.withLock { state in
            defer { state = State(phase: .ended) }
            if case .ended = state.phase { return true }
            return false
        }
        guard !isEnded else { return }
        let path = self.path
        // What cannot be removed now goes with the other leftovers.
        _ = try? await FileThreads.shared.run { () throws(BlobError) in try FileNames.remove(path) }
    }

    private static let noObject = BlobError.failed(detail: "no unfinished object")

    private func flush(synchronizing: Bool) async throws(BlobError) {
        let (file, bytes, offset) = try self.state.withLock { state throws(BlobError) in
            guard case .writing(let file) = state.phase else { throw Self.noObject }
            defer {
                state.written += Int64(state.pending.readableBytes)
                state.pending = ByteBuffer()
            }
            return (file, state.pending, state.written)
        }
        do throws(BlobError) {
            try await FileThreads.shared.run { () throws(BlobError) in
                try file.write(bytes, at: offset)
                if synchronizing { try file.synchronize() }
            }
        } catch {
            self.state.withLock { $0.phase = .broken }
            throw error
        }
    }

    /// Gives the file at `path` the name of an object, durably.
    ///
    /// - Returns: False when the name is taken and must not be replaced.
    static func publish(
        _ path: String, as target: BlobLocation, _ publication: BlobPublication
    ) throws(BlobError) -> Bool {
        func name() throws(BlobError) -> Bool {
            switch publication {
            case .ifAbsent:
                guard try FileNames.link(path, as: target.path) else { return false }
                try FileNames.remove(path)
            case .replacing:
                try FileNames.rename(path, to: target.path)
            }
            return true
        }
        let isNamed: Bool
        do {
            isNamed = try name()
        } catch .notFound {
            try DurableDirectory.make(target.directory)
            isNamed = try name()
        }
        if isNamed { try FileNames.synchronize(directory: target.directory) }
        return isNamed
    }
}
