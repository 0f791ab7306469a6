extension ServerConfiguration {
    /// Which program the settings are for.
    package enum Profile: Sendable {
        case serve
        /// `less-sync dev` (docs/contract/operations.md §1.1): loopback only, and no issuer is needed because it has its own.
        case dev
    }

    /// Reads every setting: flag over environment over `_FILE` over default.
    ///
    /// - Parameters:
    ///   - environment: all variables; unknown ones are ignored.
    ///   - flags: values by variable name, from `parseFlags`.
    ///   - readFile: the text of a file that a `_FILE` variable names. One newline at its end does not count.
    /// - Throws: every wrong variable at once.
    package static func read(
        environment: [String: String], flags: [String: String] = [:], profile: Profile = .serve,
        readFile: (String) throws -> String
    ) throws(ConfigurationErrors) -> ServerConfiguration {
        var configuration = ServerConfiguration()
        if profile == .dev { configuration.listenAddress.host = "127.0.0.1" }
        var errors: [ConfigurationError] = []
        for variable in ConfigurationVariable.all {
            do {
                guard let given = try Self.given(variable, environment, flags, readFile) else { continue }
                try variable.set(given.text, in: &configuration)
            } catch {
                errors.append(error)
            }
        }
        errors += configuration.problems(in: profile, besides: errors)
        guard errors.isEmpty else { throw ConfigurationErrors(errors: errors) }
        configuration.federation.addDomainsOfKeys()
        configuration.warnings = configuration.findWarnings(profile)
        return configuration
    }

    /// Reads what a program needs that only opens the database, or the file storage too. Other variables may be wrong or
    /// missing.
    ///
    /// - Parameter databaseURL: wins over `DATABASE_URL`.
    package static func readDatabase(
        environment: [String: String], databaseURL: String? = nil, withFiles: Bool = false,
        readFile: (String) throws -> String
    ) throws(ConfigurationErrors) -> ServerConfiguration {
        var configuration = ServerConfiguration()
        let flags = databaseURL.map { ["DATABASE_URL": $0] } ?? [:]
        var errors: [ConfigurationError] = []
        for variable in ConfigurationVariable.all
        where variable.name == "DATABASE_URL" || withFiles && variable.name.hasPrefix("FILE_") {
            do {
                guard let given = try Self.given(variable, environment, flags, readFile) else { continue }
                try variable.set(given.text, in: &configuration)
            } catch {
                errors.append(error)
            }
        }
        if withFiles {
            errors += configuration.fileStorageProblems.filter { problem in
                !errors.contains { $0.variable == problem.variable }
            }
        }
        guard errors.isEmpty else { throw ConfigurationErrors(errors: errors) }
        return configuration
    }

    /// What somebody set, and where.
    struct Given: Equatable {
        var text: String
        var source: Source
    }

    enum Source: Equatable {
        case flag(String)
        case environment(String)
        case file(path: String)
    }

    /// What was given for `variable`, or `nil`. Set and empty counts as given.
    static func given(
        _ variable: ConfigurationVariable, _ environment: [String: String], _ flags: [String: String],
        _ readFile: (String) throws -> String
    ) throws(ConfigurationError) -> Given? {
        if let text = flags[variable.name] { return Given(text: text, source: .flag(variable.flag)) }
        let given = ([variable.name] + variable.aliases).lazy.compactMap { name in
            environment[name].map { Given(text: $0, source: .environment(name)) }
        }.first
        guard let fileVariable = variable.fileName, let path = environment[fileVariable] else { return given }
        guard given == nil else {
            throw ConfigurationError(fileVariable, "\(variable.name) and \(fileVariable) are both set")
        }
        do {
            let content = try readFile(path)
            let text = content.last?.isNewline == true ? String(content.dropLast()) : content
            return Given(text: text, source: .file(path: path))
        } catch {
            throw ConfigurationError(
                fileVariable, "\(fileVariable): cannot read \(ConfigurationError.quoted(path))")
        }
    }

    /// What is wrong although each text was understood.
    private func problems(in profile: Profile, besides known: [ConfigurationError]) -> [ConfigurationError] {
        func isUnderstood(_ error: ConfigurationError) -> Bool { !known.contains { $0.variable == error.variable } }
        var problems: [ConfigurationError] = []
        switch profile {
        case .serve:
            if self.trustedIssuers.isEmpty {
                problems.append(ConfigurationError("TRUSTED_ISSUERS", "TRUSTED_ISSUERS must be set"))
            }
        case .dev:
            if !self.listenAddress.isLoopback {
                problems.append(
                    ConfigurationError(
                        "LISTEN_ADDR", "invalid LISTEN_ADDR \"\(self.listenAddress)\": dev listens on loopback only"))
            }
        }
        if let stranger = self.federation.keyOfNoTrustedDomain {
            problems.append(
                ConfigurationError(
                    "FEDERATION_TRUSTED_KEYS",
                    "FEDERATION_TRUSTED_KEYS domain \"\(stranger.domain)\" is not listed in FEDERATION_TRUSTED_DOMAINS")
            )
        }
        return (problems + self.fileStorageProblems).filter(isUnderstood)
    }

    private func findWarnings(_ profile: Profile) -> [String] {
        var warnings: [String] = []
        if self.identityHashKey == nil, profile == .serve {
            warnings.append("IDENTITY_HASH_KEY is not set: application rate limits are off")
        }
        if self.isPerformanceMode { warnings.append("PERF_MODE is on: limits are lifted, not for production") }
        if self.federation.isWanted {
            warnings.append(
                "federation is configured, but this version does not federate: other servers cannot connect")
        }
        return warnings
    }
}

// MARK: - Command line

extension ServerConfiguration {
    /// Reads `--listen-addr value`, `--listen-addr=value`, and the bare flag of a switch, which means `true`.
    ///
    /// - Returns: values by variable name; of a flag given twice the last counts.
    package static func parseFlags(_ arguments: [String]) throws(UsageError) -> [String: String] {
        var values: [String: String] = [:]
        var remaining = arguments[...]
        while let argument = remaining.popFirst() {
            let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let flag = parts.first.map(String.init) ?? ""
            guard let variable = ConfigurationVariable.all.first(where: { !$0.isHidden && $0.flag == flag }) else {
                throw UsageError(description: "unknown argument \(ConfigurationError.quoted(flag))")
            }
            if parts.count == 2 {
                values[variable.name] = String(parts[1])
            } else if variable.valueName == nil {
                values[variable.name] = "true"
            } else if let value = remaining.popFirst() {
                values[variable.name] = value
            } else {
                throw UsageError(description: "\(flag) requires a value")
            }
        }
        return values
    }

    /// The flags with their help and defaults, for `--help`.
    package static var flagsHelp: String {
        ConfigurationVariable.all.filter { !$0.isHidden }.map { variable in
            let value = variable.valueName.map { " \($0)" } ?? ""
            let off = variable.isSwitchedOn ? "; \(variable.flag)=false switches it off" : ""
            let defaultText = variable.defaultText.map { $0.isEmpty ? "" : " (default: \($0)\(off))" } ?? ""
            return "  \(variable.flag)\(value)\n        \(variable.help)\(defaultText) [\(variable.name)]"
        }.joined(separator: "\n")
    }
}
