/// One row of the table of settings: name, flag, default, help and how to read it. Everything that lists settings (the
/// command line, the documentation, an example file) is made from these rows.
package struct ConfigurationVariable: Sendable {
    /// The environment variable.
    package let name: String
    /// Other names, looked at in order when `name` is unset.
    package let aliases: [String]
    /// What to write when nothing is to change; `nil` when there is no such text.
    package let defaultText: String?
    /// What stands for the value in help texts. `nil` for a switch, whose flag alone means `true`.
    package let valueName: String?
    /// One sentence without a full stop.
    package let help: String
    /// What the reference page says beyond `help`: sentences without the last full stop.
    package let note: String?
    /// May be read from the file that `<name>_FILE` names, and is never repeated.
    package let isSecret: Bool
    /// Not in help texts and without a flag.
    package let isHidden: Bool

    private let apply: @Sendable (String, inout ServerConfiguration) throws(ConfigurationError) -> Void

    /// - Parameter parse: makes the value from the text, which is as given: not trimmed.
    init<Value>(
        _ name: String, aliases: [String] = [], default defaultText: String? = nil, valueName: String?, help: String,
        note: String? = nil, isSecret: Bool = false, isHidden: Bool = false,
        sets property: any WritableKeyPath<ServerConfiguration, Value> & Sendable,
        parse: @escaping @Sendable (String) throws(ConfigurationError) -> Value
    ) {
        self.name = name
        self.aliases = aliases
        self.defaultText = defaultText
        self.valueName = valueName
        self.help = help
        self.note = note
        self.isSecret = isSecret
        self.isHidden = isHidden
        self.apply = { text, configuration throws(ConfigurationError) in
            configuration[keyPath: property] = try parse(text)
        }
    }

    /// `LISTEN_ADDR` is `--listen-addr`.
    package var flag: String { "--" + String(self.name.lowercased().map { $0 == "_" ? "-" : $0 }) }

    /// A switch that is on unless it is switched off.
    var isSwitchedOn: Bool { self.valueName == nil && self.defaultText == "true" }

    /// The name of the variable that names a file with the value.
    package var fileName: String? { self.isSecret ? self.name + "_FILE" : nil }

    package func set(_ text: String, in configuration: inout ServerConfiguration) throws(ConfigurationError) {
        try self.apply(text, &configuration)
    }
}

// MARK: - Rows of common types

extension ConfigurationVariable {
    /// - Parameter wrong: the message for anything but an integer in `range`; default: a sentence with the range.
    static func integer(
        _ name: String, default value: Int, in range: ClosedRange<Int>, wrong: String? = nil, help: String,
        note: String? = nil, sets property: any WritableKeyPath<ServerConfiguration, Int> & Sendable
    ) -> ConfigurationVariable {
        ConfigurationVariable(
            name, default: "\(value)", valueName: "N", help: help, note: note, sets: property,
            parse: { text throws(ConfigurationError) in
                guard let value = Int(text), range.contains(value) else {
                    throw ConfigurationError(
                        name,
                        "\(name) " + (wrong ?? "must be an integer from \(range.lowerBound) to \(range.upperBound)"))
                }
                return value
            })
    }

    static func boolean(
        _ name: String, default value: Bool, help: String, note: String? = nil,
        sets property: any WritableKeyPath<ServerConfiguration, Bool> & Sendable
    ) -> ConfigurationVariable {
        ConfigurationVariable(
            name, default: "\(value)", valueName: nil, help: help, note: note, sets: property,
            parse: { text throws(ConfigurationError) in
                switch text {
                case "true", "1": return true
                case "false", "0": return false
                default: throw ConfigurationError(name, "\(name) must be true, false, 1 or 0")
                }
            })
    }

    static func choice<Value: RawRepresentable & CaseIterable & Sendable>(
        _ name: String, default value: Value, help: String, note: String? = nil,
        sets property: any WritableKeyPath<ServerConfiguration, Value> & Sendable
    ) -> ConfigurationVariable where Value.RawValue == String {
        ConfigurationVariable(
            name, default: value.rawValue, valueName: "WORD", help: help, note: note, sets: property,
            parse: { text throws(ConfigurationError) in try Self.word(name, text) })
    }

    /// One of the words of `Value`.
    static func word<Value: RawRepresentable & CaseIterable>(
        _ name: String, _ text: String
    ) throws(ConfigurationError) -> Value where Value.RawValue == String {
        if let value = Value(rawValue: text) { return value }
        let words = Value.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: " or ")
        throw ConfigurationError(name, "invalid \(name) \(ConfigurationError.quoted(text)): expected \(words)")
    }
}
