import Glibc
import Logging
import ServiceLifecycle
import Synchronization
import UnixSignals

extension Server {
    /// Opens a server and serves until SIGTERM or SIGINT has ended it (docs/contract/operations.md §6).
    ///
    /// A signal before anything is served ends the process at once with 0: what a migration has begun is undone with its
    /// transaction. A second signal, and a shutdown that takes longer than `shutdownTimeout`, end it at once with 1.
    ///
    /// - Returns: The exit code.
    static func runUntilSignal(
        shutdownTimeout: Duration, logger: Logger, open: @escaping @Sendable () async throws -> Server
    ) async -> Int32 {
        let serving = Serving()
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
        let (shutdown, shutdownBegan) = AsyncStream.makeStream(of: Void.self)
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
                var isFirst = true
                for await signal in signals {
                    guard isFirst else { Self.exitAtOnce("second signal", logger) }
                    isFirst = false
                    logger.info("shutdown requested", metadata: ["signal": "\(signal)"])
                    guard let group = serving.group.withLock({ $0 }) else { _exit(EXIT_SUCCESS) }
                    shutdownBegan.yield()
                    await group.triggerGracefulShutdown()
                }
                return nil
            }
            tasks.addTask {
                for await _ in shutdown {
                    do { try await Task.sleep(for: shutdownTimeout) } catch { return nil }
                    Self.exitAtOnce("shutdown did not end in time", logger)
                }
                return nil
            }
            var code: Int32?
            while code == nil, let result = await tasks.next() { code = result }
            tasks.cancelAll()
            return code ?? EXIT_FAILURE
        }
    }

    /// Nothing acknowledged is lost by this: acknowledged means committed.
    private static func exitAtOnce(_ reason: String, _ logger: Logger) -> Never {
        logger.error("exiting at once", metadata: ["reason": "\(reason)"])
        _exit(EXIT_FAILURE)
    }
}

/// What a signal ends.
private final class Serving: Sendable {
    /// `nil` until there is a server.
    let group = Mutex<ServiceGroup?>(nil)
}
