package import Logging

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The log of the process, on standard output (docs/contract/operations.md §11).
package enum ServerLog {
    /// A logger of its own: nothing global is set, so that servers in one process may log differently.
    ///
    /// - Parameter format: `nil`: text for somebody who looks at a terminal, JSON for a program that collects lines.
    package static func logger(level: Logger.Level, format: LogFormat?) -> Logger {
        var logger = Logger(label: "less-sync") { label in
            switch Self.format(format, isTerminal: isatty(STDOUT_FILENO) == 1) {
            case .text: StreamLogHandler.standardOutput(label: label)
            case .json: JSONLogHandler(write: Self.writeLine)
            }
        }
        logger.logLevel = level
        return logger
    }

    static func format(_ chosen: LogFormat?, isTerminal: Bool) -> LogFormat { chosen ?? (isTerminal ? .text : .json) }

    /// One `write` a line, which the kernel keeps whole for lines within a pipe's buffer.
    private static func writeLine(_ line: String) {
        var bytes = Array(line.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            // A log that nobody can read any more is no reason to stop serving.
            guard count > 0 || errno == EINTR else { return }
            bytes = bytes.dropFirst(max(0, count))
        }
    }
}
