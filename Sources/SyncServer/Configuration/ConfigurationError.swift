/// One wrong variable. The message never holds a secret.
package struct ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The variable, or its `_FILE` form when that is wrong.
    package let variable: String
    /// One line.
    package let message: String

    package init(_ variable: String, _ message: String) {
        self.variable = variable
        self.message = message
    }

    /// The line for standard error.
    package var description: String { "Error: \(self.message)" }

    /// `text` in quotation marks on one line, whatever it holds.
    static func quoted(_ text: String) -> String { String(reflecting: text) }

    /// `text` as it is if it is printable ASCII, otherwise quoted.
    static func oneLine(_ text: String) -> String {
        text.utf8.allSatisfy { 0x20...0x7e ~= $0 } ? text : Self.quoted(text)
    }
}

/// All wrong variables, in the order of the table.
package struct ConfigurationErrors: Error, Hashable, Sendable {
    package let errors: [ConfigurationError]
}

/// A command line that cannot be understood. The exit code is 64.
package struct UsageError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
}
