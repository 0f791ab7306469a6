import Glibc

/// `less-sync demo`: runs a `Demo`, then a `DemoSharing`, then `DemoFiles`, and shows them on the terminal.
package struct DemoCommand: Sendable {
    private let options: Demo.Options

    package init(_ options: Demo.Options) { self.options = options }

    /// The table goes to standard output, everything else to standard error.
    ///
    /// - Returns: The exit code: 0 when both receiving devices have verified everything that the folder holds, and sharing and
    ///   files went as they should, otherwise 1.
    package func run() async -> Int32 {
        let isTerminal = isatty(STDERR_FILENO) == 1
        do {
            let interval: Duration = isTerminal ? .milliseconds(200) : .seconds(5)
            let report = try await Demo(self.options).run(watchInterval: interval) { line in
                Self.write(isTerminal ? "\r\u{1B}[K\(line)" : "\(line)\n", to: STDERR_FILENO)
            }
            if isTerminal { Self.write("\r\u{1B}[K", to: STDERR_FILENO) }
            Self.write(report.text, to: STDOUT_FILENO)
            guard report.isComplete else { return 1 }
            Self.write("\nSharing a space:\n", to: STDOUT_FILENO)
            try await DemoSharing(url: self.options.url).run { Self.write("  \($0).\n", to: STDOUT_FILENO) }
            Self.write("\nFiles:\n", to: STDOUT_FILENO)
            try await DemoFiles(url: self.options.url).run { Self.write("  \($0).\n", to: STDOUT_FILENO) }
            return 0
        } catch {
            let lines = String(describing: error).split(separator: "\n").map { "Error: \($0)\n" }.joined()
            Self.write((isTerminal ? "\r\u{1B}[K" : "") + lines, to: STDERR_FILENO)
            return 1
        }
    }

    private static func write(_ text: String, to descriptor: Int32) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 || errno == EINTR else { return }
            bytes = bytes.dropFirst(max(0, count))
        }
    }
}
