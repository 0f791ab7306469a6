import DequeModule
import SyncProtocol
import SyncStorage
import Synchronization

/// Rows on their way to one consumer, page by page, who decides how fast the socket is read.
final class PostgresPages<Element: Sendable>: Sendable {
    private let decode: @Sendable (Int, PostgresRows) throws(StorageError) -> Element
    private let pool: PostgresPool
    private let connection: PostgresConnection
    private let stream: RowStream

    private struct State {
        /// Rows taken from the stream and not handed over, a page at most in each.
        var chunks: Deque<PostgresRows> = []
        var isDrained = false
        var failure: StorageError?
    }

    /// Used by one task at a time; the lock is for the compiler.
    private let state = Mutex(State())

    /// - Parameter decode: Makes an element of a row, given by its number.
    init(
        pool: PostgresPool, connection: PostgresConnection, stream: RowStream,
        _ decode: @escaping @Sendable (Int, PostgresRows) throws(StorageError) -> Element
    ) {
        self.decode = decode
        self.pool = pool
        self.connection = connection
        self.stream = stream
    }

    /// No more pages from now on.
    ///
    /// - Returns: Whether everything had been read.
    func end() -> Bool {
        self.state.withLock { state in
            state.failure = state.failure ?? .unavailable
            return state.isDrained
        }
    }

    /// At least one element; `nil` at the end.
    func next() async throws(StorageError) -> [Element]? {
        if let failure = self.state.withLock({ $0.failure }) { throw failure }
        if self.pool.isClosed { throw .unavailable }
        do {
            if self.state.withLock({ $0.chunks.isEmpty && !$0.isDrained }) {
                guard let (chunks, mustResume) = try await self.stream.next() else {
                    self.state.withLock { $0.isDrained = true }
                    return nil
                }
                self.state.withLock { $0.chunks = Deque(chunks) }
                if mustResume { self.connection.resumeReading() }
            }
            let page = try self.takePage()
            return page.isEmpty ? nil : page
        } catch {
            let failure = error as? StorageError ?? (error as? PostgresFailure)?.storageError ?? .unavailable
            self.state.withLock { $0.failure = failure }
            throw failure
        }
    }

    private func takePage() throws(StorageError) -> [Element] {
        let chunks = self.state.withLock { state in
            var taken: [PostgresRows] = []
            var rows = 0
            var bytes = 0
            while let chunk = state.chunks.first,
                taken.isEmpty
                    || rows + chunk.count <= Limits.pullBufferedEntriesMax && bytes < Limits.pullPageBytesMax
            {
                rows += chunk.count
                bytes += chunk.byteCount
                taken.append(chunk)
                state.chunks.removeFirst()
            }
            return taken
        }
        var page: [Element] = []
        page.reserveCapacity(chunks.reduce(0) { $0 + $1.count })
        for chunk in chunks {
            for row in 0..<chunk.count { page.append(try self.decode(row, chunk)) }
        }
        return page
    }
}
