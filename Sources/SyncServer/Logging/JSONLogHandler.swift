package import FoundationEssentials
package import Logging

/// One JSON object a line: `time` (RFC 3339, UTC), `level`, `message`, then the metadata as text
/// (docs/contract/operations.md §11).
package struct JSONLogHandler: LogHandler {
    package var logLevel: Logger.Level = .info
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?

    private let now: @Sendable () -> Date
    private let write: @Sendable (String) -> Void

    /// - Parameter write: Takes one whole line, its newline included.
    package init(now: @escaping @Sendable () -> Date = { Date() }, write: @escaping @Sendable (String) -> Void) {
        self.now = now
        self.write = write
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var line = "{\"time\":"
        line.appendJSON(self.now().formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true)))
        line += ",\"level\":\"\(event.level.rawValue)\",\"message\":"
        line.appendJSON(event.message.description)
        for (key, value) in self.merged(event.metadata).sorted(by: { $0.key < $1.key }) {
            line += ","
            line.appendJSON(key)
            line += ":"
            line.appendJSON(value.description)
        }
        if let error = event.error {
            line += ",\"error\":"
            line.appendJSON(String(describing: error))
        }
        self.write(line + "}\n")
    }

    /// What is given with the event wins over the handler's own, and that over the provider's.
    private func merged(_ explicit: Logger.Metadata?) -> Logger.Metadata {
        var merged = self.metadataProvider?.get() ?? [:]
        merged.merge(self.metadata) { $1 }
        if let explicit { merged.merge(explicit) { $1 } }
        return merged
    }
}

extension String {
    /// Appends `text` as a JSON string (RFC 8259 §7).
    fileprivate mutating func appendJSON(_ text: String) {
        self += "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": self += "\\\""
            case "\\": self += "\\\\"
            case "\n": self += "\\n"
            case "\r": self += "\\r"
            case "\t": self += "\\t"
            case "\u{0}"..."\u{1F}":
                let digits = String(scalar.value, radix: 16)
                self += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: self.unicodeScalars.append(scalar)
            }
        }
        self += "\""
    }
}
