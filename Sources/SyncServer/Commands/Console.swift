import Glibc

/// Lines for whoever started the program.
package enum Console {
    /// One line on standard output.
    package static func print(_ line: String) { Self.write(line + "\n", to: STDOUT_FILENO) }

    /// `Error: ` and a message on standard error, on one line.
    package static func error(_ message: String) {
        let line = message.split(whereSeparator: \.isNewline).joined(separator: " ")
        Self.write("Error: \(line)\n", to: STDERR_FILENO)
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

/// Exit codes (docs/contract/operations.md §1).
package enum ExitStatus {
    package static let success: Int32 = 0
    package static let failure: Int32 = 1
    /// The command line cannot be understood.
    package static let usage: Int32 = 64
}

/// The version of the program.
package enum Version {
    package static let current = "0.1.0"
}
