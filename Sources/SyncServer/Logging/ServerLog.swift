import Dispatch
package import Logging
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The log of the process, on standard output (docs/contract/operations.md §11).
package struct ServerLog: Sendable {
    /// How long an exit waits for whoever reads the log.
    static let flushLimit: Duration = .seconds(1)
    /// As `flushLimit`, for an exit that waits for nothing else.
    static let flushLimitAtOnce: Duration = .milliseconds(200)

    /// Nothing global is set, so that servers in one process may log differently.
    package let logger: Logger
    package let queue: LogQueue

    /// - Parameters:
    ///   - format: `nil`: text for somebody who looks at a terminal, JSON for a program that collects lines.
    ///   - descriptor: Stays open for as long as the process runs.
    package init(level: Logger.Level, format: LogFormat?, to descriptor: Int32 = STDOUT_FILENO) {
        let format = Self.format(format, isTerminal: isatty(descriptor) == 1)
        let queue = LogQueue(to: descriptor) { Self.droppedLine($0, format) }
        var logger = Logger(label: Self.label) { _ in Self.handler(format) { queue.append($0) } }
        logger.logLevel = level
        self.queue = queue
        self.logger = logger
    }

    /// Waits until everything is written, at most for `flushLimit`. For the last moment of a process.
    func flush() async {
        await withCheckedContinuation { continuation in
            DispatchQueue(label: "less-sync.log-flush").async {
                self.queue.flush(within: Self.flushLimit)
                continuation.resume()
            }
        }
    }

    private static let label = "less-sync"

    static func format(_ chosen: LogFormat?, isTerminal: Bool) -> LogFormat { chosen ?? (isTerminal ? .text : .json) }

    /// - Parameter write: Takes whole lines.
    private static func handler(
        _ format: LogFormat, _ write: @escaping @Sendable (String) -> Void
    ) -> any LogHandler {
        switch format {
        case .text: StreamLogHandler(label: Self.label, stream: LineStream(take: write))
        case .json: JSONLogHandler(write: write)
        }
    }

    /// The line that tells of lines that were dropped.
    private static func droppedLine(_ count: UInt64, _ format: LogFormat) -> String {
        let line = Mutex("")
        let logger = Logger(label: Self.label) { _ in
            Self.handler(format) { text in line.withLock { $0 += text } }
        }
        logger.warning("log lines dropped", metadata: ["count": "\(count)"])
        return line.withLock { $0 }
    }
}

/// Hands on what is written to it.
private struct LineStream: TextOutputStream, Sendable {
    let take: @Sendable (String) -> Void

    mutating func write(_ string: String) { self.take(string) }
}
