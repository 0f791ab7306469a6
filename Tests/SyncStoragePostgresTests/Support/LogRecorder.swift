import Logging
import Synchronization

/// Keeps what is logged, with all metadata.
final class LogRecorder: Sendable {
    private let stored = Mutex<[(message: String, metadata: Logger.Metadata)]>([])

    var messages: [String] { self.stored.withLock { $0.map(\.message) } }

    /// Message and metadata of each entry.
    var lines: [String] { self.stored.withLock { $0.map { "\($0.message) \($0.metadata)" } } }

    var logger: Logger {
        Logger(label: "test") { _ in Handler(recorder: self) }
    }

    private struct Handler: LogHandler {
        let recorder: LogRecorder
        var metadata: Logger.Metadata = [:]
        var logLevel: Logger.Level = .trace

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { self.metadata[key] }
            set { self.metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            self.recorder.stored.withLock { $0.append(("\(event.message)", event.metadata ?? [:])) }
        }
    }
}
