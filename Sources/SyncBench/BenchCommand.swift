import Glibc

/// `less-sync bench`: makes a load run and shows it on the terminal.
package struct BenchCommand: Sendable {
    private let options: BenchOptions
    private let printsJSON: Bool

    package init(_ options: BenchOptions, json: Bool) {
        self.options = options
        self.printsJSON = json
    }

    /// The result goes to standard output, everything else to standard error.
    ///
    /// - Returns: The exit code: 0 when nothing failed, otherwise 1; 64 for options that make no sense.
    package func run() async -> Int32 {
        let isTerminal = isatty(STDERR_FILENO) == 1
        do {
            let result = try await Bench(self.options).run { line in
                Self.write(isTerminal ? "\r\u{1B}[K\(line)" : "\(line)\n", to: STDERR_FILENO)
            }
            if isTerminal { Self.write("\r\u{1B}[K", to: STDERR_FILENO) }
            Self.write(self.printsJSON ? result.json : result.text, to: STDOUT_FILENO)
            return result.isSuccess ? 0 : 1
        } catch {
            let lines = String(describing: error).split(separator: "\n").map { "Error: \($0)\n" }.joined()
            Self.write((isTerminal ? "\r\u{1B}[K" : "") + lines, to: STDERR_FILENO)
            if case .invalidOptions = error as? BenchError { return 64 }
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
