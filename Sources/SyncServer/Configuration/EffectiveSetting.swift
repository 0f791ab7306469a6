/// One setting as it stands, fit to be shown: no secret is in it.
struct EffectiveSetting: Equatable, Encodable {
    /// The variable.
    var name: String
    /// The text that was given or that stands for the default; `nil` when the setting is unset.
    var value: String?
    /// `default`, `flag --…`, `environment NAME` or `file PATH`.
    var source: String

    /// Every setting with a flag, in the order of the table. Values are not checked.
    static func all(
        environment: [String: String], flags: [String: String], readFile: (String) throws -> String
    ) throws(ConfigurationError) -> [EffectiveSetting] {
        var settings: [EffectiveSetting] = []
        for variable in ConfigurationVariable.all where !variable.isHidden {
            let given = try ServerConfiguration.given(variable, environment, flags, readFile)
            settings.append(
                EffectiveSetting(
                    name: variable.name, value: given.map { variable.shown($0.text) } ?? variable.defaultText,
                    source: given?.source.description ?? "default"))
        }
        return settings
    }
}

extension ServerConfiguration.Source: CustomStringConvertible {
    var description: String {
        switch self {
        case .flag(let flag): "flag \(flag)"
        case .environment(let name): "environment \(name)"
        case .file(let path): "file \(path)"
        }
    }
}

extension ConfigurationVariable {
    /// `text` without what is secret in it.
    fileprivate func shown(_ text: String) -> String {
        guard self.isSecret else {
            return self.name == "FILE_S3_ENDPOINT" ? Self.withoutUserInfo(text) : text
        }
        // Which database it is must be visible; how to get in must not.
        if self.name == "DATABASE_URL" { return (try? DatabaseLocation(text))?.shown ?? "<redacted>" }
        return text.isEmpty ? "" : "<redacted>"
    }

    /// Nobody has looked yet whether it is a URL: whatever may be a password goes.
    private static func withoutUserInfo(_ endpoint: String) -> String {
        guard let at = endpoint.lastIndex(of: "@") else { return endpoint }
        let scheme = endpoint.firstRange(of: "://").map { endpoint[..<$0.upperBound] } ?? ""
        return String(scheme + endpoint[endpoint.index(after: at)...])
    }
}

extension DatabaseLocation {
    /// The URL without user, password and parameters.
    fileprivate var shown: String {
        switch self {
        case .postgres(let url): AbsoluteURL.withoutUserInfo(url.reveal())
        case .sqlite(let path): "sqlite:\(path)"
        case .sqliteInMemory: "sqlite::memory:"
        }
    }
}
