import Glibc
import ServiceLifecycle
import Synchronization

extension Server {
    /// Opens a server and serves until SIGTERM or SIGINT has ended it (docs/contract/operations.md §6).
    ///
    /// A signal before anything is served ends the process at once with 0: what a migration has begun is undone with its
    /// transaction. A second signal, and a shutdown that takes longer than `shutdownTimeout`, end it at once with 1.
    ///
    /// - Returns: The exit code.
    static func runUntilSignal(
        shutdownTimeout: Duration, log: ServerLog, open: @escaping @Sendable () async throws -> Server
    ) async -> Int32 {
        let serving = Serving()
        let (shutdown, shutdownBegan) = AsyncStream.makeStream(of: ServiceGroup.self)
        let ending = ProcessEnding(shutdownTimeout: shutdownTimeout, log: log) {
            guard let group = serving.group.withLock({ $0 }) else { return false }
            shutdownBegan.yield(group)
            return true
        }
        await ending.listen()
        return await withTaskGroup(of: Int32?.self) { tasks in
            tasks.addTask {
                let group: ServiceGroup
                do {
                    group = try await open().makeServiceGroup()
                } catch {
                    Console.error("cannot start: \(error)")
                    return EXIT_FAILURE
                }
                serving.group.withLock { $0 = group }
                do {
                    try await group.run()
                    return EXIT_SUCCESS
                } catch {
                    Console.error(error is ListenFailure ? "\(error)" : "cannot serve: \(error)")
                    return EXIT_FAILURE
                }
            }
            tasks.addTask {
                for await group in shutdown { await group.triggerGracefulShutdown() }
                return nil
            }
            var code: Int32?
            while code == nil, let result = await tasks.next() { code = result }
            tasks.cancelAll()
            return code ?? EXIT_FAILURE
        }
    }
}

/// What a signal ends.
private final class Serving: Sendable {
    /// `nil` until there is a server.
    let group = Mutex<ServiceGroup?>(nil)
}
