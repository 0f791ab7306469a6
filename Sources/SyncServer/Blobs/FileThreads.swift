import NIOPosix
import SyncStorage

/// Threads for calls that wait for the disk. Each caller waits for its own call, so what is queued is bounded by what runs.
struct FileThreads: Sendable {
    /// Calls at once. The disk is busy with fewer; more only wait for each other.
    static let count = 4

    /// For the whole process; it ends with it.
    static let shared = FileThreads(pool: NIOThreadPool(numberOfThreads: Self.count))

    private let pool: NIOThreadPool

    private init(pool: NIOThreadPool) {
        self.pool = pool
        pool.start()
    }

    /// Runs `work` some time later. It must not be long, and reports by itself.
    func submit(_ work: @escaping @Sendable () -> Void) { self.pool.submit { _ in work() } }

    /// Runs `work` to its end, in a cancelled task too.
    func run<Result: Sendable>(
        _ work: @escaping @Sendable () throws(BlobError) -> Result
    ) async throws(BlobError) -> Result {
        let result: Swift.Result<Result, BlobError> = await withCheckedContinuation { continuation in
            self.pool.submit { _ in
                do throws(BlobError) {
                    continuation.resume(returning: .success(try work()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }
}
