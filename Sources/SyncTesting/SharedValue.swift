import Synchronization

/// Something that takes a while to make and that all tests of this process share.
final class SharedValue<Value: Sendable>: Sendable {
    private let what: String
    private let outcome = Mutex<Result<Value, any Error>?>(nil)

    /// More than what is made may take by limits of its own.
    private static var limit: Duration { .seconds(240) }

    /// Begins at once; the value is there for the rest of the process.
    init(_ what: String, make: @escaping @Sendable () async throws -> Value) {
        self.what = what
        Task {
            do {
                let value = try await make()
                self.outcome.withLock { $0 = .success(value) }
            } catch {
                self.outcome.withLock { $0 = .failure(error) }
            }
        }
    }

    /// Waits for it. Unlike `Task.value` it ends when the caller is cancelled.
    func value() async throws -> Value {
        try await eventually(self.what, within: Self.limit) { self.outcome.withLock { $0 != nil } }
        guard let outcome = self.outcome.withLock({ $0 }) else { throw CancellationError() }
        return try outcome.get()
    }
}
