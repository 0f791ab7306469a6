import Dispatch
import Glibc
import Logging

/// Ends the process when signals or time say so (docs/contract/operations.md §6).
///
/// Everything here runs on a queue of its own, which has a thread whatever blocks the others, and waits for nobody: not for
/// the server, and for whoever reads the log for a moment only.
///
/// `@unchecked Sendable`: `signals` and `hasBegun` are used on the queue alone.
final class ProcessEnding: @unchecked Sendable {
    // Fixed after init.
    private let shutdownTimeout: Duration
    private let log: ServerLog
    private let beginShutdown: @Sendable () -> Bool
    private let queue = DispatchQueue(label: "less-sync.process-ending")

    // Queue only.
    private var signals: [any DispatchSourceSignal] = []
    private var hasBegun = false

    /// - Parameters:
    ///   - shutdownTimeout: The process ends with 1 when it is still there so long after the first signal.
    ///   - beginShutdown: Begins a graceful shutdown, without waiting for it. False when there is nothing to shut down: the
    ///     process ends with 0.
    init(shutdownTimeout: Duration, log: ServerLog, beginShutdown: @escaping @Sendable () -> Bool) {
        self.shutdownTimeout = shutdownTimeout
        self.log = log
        self.beginShutdown = beginShutdown
    }

    /// Returns when SIGTERM and SIGINT are listened to.
    func listen() async {
        for (number, name) in [(SIGTERM, "SIGTERM"), (SIGINT, "SIGINT")] {
            await withCheckedContinuation { continuation in
                self.queue.async {
                    let source = DispatchSource.makeSignalSource(signal: number, queue: self.queue)
                    source.setEventHandler { self.received(name) }
                    source.setRegistrationHandler { continuation.resume() }
                    self.signals.append(source)
                    source.activate()
                }
            }
        }
    }

    // MARK: On the queue

    private func received(_ signal: String) {
        guard !self.hasBegun else { self.exitAtOnce(because: "second signal") }
        self.hasBegun = true
        self.log.logger.info("shutdown requested", metadata: ["signal": "\(signal)"])
        guard self.beginShutdown() else {
            self.log.queue.flush(within: ServerLog.flushLimit)
            _exit(EXIT_SUCCESS)
        }
        self.queue.asyncAfter(deadline: .now() + self.shutdownTimeout / .seconds(1)) {
            self.exitAtOnce(because: "shutdown did not end in time")
        }
    }

    /// Nothing acknowledged is lost by this: acknowledged means committed.
    private func exitAtOnce(because reason: String) -> Never {
        self.log.logger.error("exiting at once", metadata: ["reason": "\(reason)"])
        self.log.queue.flush(within: ServerLog.flushLimitAtOnce)
        _exit(EXIT_FAILURE)
    }
}
