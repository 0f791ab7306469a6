import DequeModule
import SyncProtocol
import SyncStorage
import Synchronization

/// Rows on their way to one consumer, page by page, who decides how fast the socket is read.
final class PostgresPages: Sendable {
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

    init(pool: PostgresPool, connection: PostgresConnection, stream: RowStream) {
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

    /// The next page, of at least one row; `nil` at the end.
    ///
    /// - Parameters:
    ///   - makePage: Makes an empty one.
    ///   - add: Adds a row to it, given by its number.
    func next<Page: Sendable>(
        _ makePage: () -> Page,
        _ add: (_ row: Int, _ rows: PostgresRows, _ page: inout Page) throws(StorageError) -> Void
    ) async throws(StorageError) -> Page? {
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
            let chunks = self.takeChunks()
            guard chunks.contains(where: { $0.count > 0 }) else { return nil }
            var page = makePage()
            for chunk in chunks {
                for row in 0..<chunk.count { try add(row, chunk, &page) }
            }
            return page
        } catch {
            let failure = error as? StorageError ?? (error as? PostgresFailure)?.storageError ?? .unavailable
            self.state.withLock { $0.failure = failure }
            throw failure
        }
    }

    private func takeChunks() -> [PostgresRows] {
        self.state.withLock { state in
            var taken: [PostgresRows] = []
            var rows = 0
            var bytes = 0
            while let chunk = state.chunks.first,
                taken.isEmpty
                    || rows + chunk.count <= Limits.pullPageEntriesMax && bytes < Limits.pullPageBytesMax
            {
                rows += chunk.count
                bytes += chunk.byteCount
                taken.append(chunk)
                state.chunks.removeFirst()
            }
            return taken
        }
    }
}
