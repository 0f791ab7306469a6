import Logging
import Synchronization

/// Keeps every line that a server in this process logs.
final class LogRecorder: Sendable {
    private let recorded = Mutex<[String]>([])

    /// Level, message, then pairs of metadata, sorted by key.
    var lines: [String] { self.recorded.withLock { $0 } }

    func logger(_ level: Logger.Level) -> Logger {
        var logger = Logger(label: "test") { _ in Handler(recorder: self) }
        logger.logLevel = level
        return logger
    }

    private struct Handler: LogHandler {
        let recorder: LogRecorder
        var logLevel = Logger.Level.info
        var metadata: Logger.Metadata = [:]

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { self.metadata[key] }
            set { self.metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let all = self.metadata.merging(event.metadata ?? [:]) { _, last in last }
            let pairs = all.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            let line = ["\(event.level)", "\(event.message)"] + pairs
            self.recorder.recorded.withLock { $0.append(line.joined(separator: " ")) }
        }
    }
}
