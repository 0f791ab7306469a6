/// The documents that list every setting, made from the table of settings so that they cannot be wrong about it.
enum ConfigurationReference {
    private struct Section {
        var title: String
        var variables: [ConfigurationVariable]
        var note: String?
    }

    private static let sections = [
        Section(title: "Who and where", variables: ConfigurationVariable.core),
        Section(
            title: "Files", variables: ConfigurationVariable.files,
            note:
                "The four `FILE_S3_…` without a default are required for `s3`. How to run either: [operations.md](operations.md#files)."
        ),
        Section(
            title: "Limits", variables: ConfigurationVariable.limits,
            note: """
                The two rate limits count only what succeeded.

                Limits of the protocol itself (frame size, queues, times) are constants: [wire.md §8](contract/wire.md#8-limits).
                """),
        Section(
            title: "Operation", variables: ConfigurationVariable.operation,
            note: """
                Switches take `true`, `false`, `1` or `0`. When `LOG_LEVEL` is unset, a bare level word in `RUST_LOG` counts.

                `less-sync dev` reads the same settings. It listens on 127.0.0.1 and needs no `TRUSTED_ISSUERS`, because it has an
                issuer of its own; an address that is not loopback is an error.
                """),
        Section(
            title: "Discovery", variables: ConfigurationVariable.discovery,
            note: """
                With `SYNC_ENDPOINT` the server answers `/.well-known/less-platform` and `/.well-known/betterbase`, so that clients find
                everything from one host name ([http.md §6](contract/http.md#6-discovery-documents-δ-h1)).
                """),
        Section(
            title: "Federation", variables: ConfigurationVariable.federation,
            note: """
                This version checks these settings and publishes its own keys, but does not federate yet: the log says so when one is set.
                """),
    ]

    /// `docs/configuration.md`.
    static var markdown: String {
        let introduction = """
            # Configuration

            Every setting is an environment variable and a flag of `less-sync serve`: `LISTEN_ADDR` is `--listen-addr`. A flag wins over the
            variable. There is no configuration file; [.env.example](../.env.example) lists all variables. Secrets can also be read from a
            file: `DATABASE_URL_FILE=/run/secrets/db` names a file, or a pipe such as `/dev/fd/3`, with the value (one newline at its end does not count).

            Wrong values are reported all at once on standard error, one line for each variable, beginning with `Error: `; then the exit code
            is 1 and nothing has listened. An unknown flag exits with 64; unknown variables are ignored.

            ```sh
            less-sync config check      # what is wrong, without starting anything
            less-sync config show       # every setting, and where it comes from; secrets are left out
            ```

            Both take the flags of `serve`. The normative table is [operations.md §2](contract/operations.md#2-configuration). This page is
            the output of `less-sync config reference`.
            """
        return ([introduction] + self.sections.map(self.markdown)).joined(separator: "\n\n") + "\n"
    }

    /// `.env.example`: every variable with its default, commented out.
    static var environmentExample: String {
        let introduction = """
            # Settings of less-sync, one variable each. Take the # away from what you change; what stands here is the default.
            # What each of them means: docs/configuration.md. To check: less-sync config check
            # This file is the output of `less-sync config example`.
            """
        return ([introduction] + self.sections.map(self.example)).joined(separator: "\n\n") + "\n"
    }

    private static func markdown(_ section: Section) -> String {
        var lines = ["## \(section.title)", "", "| Variable | Default | Meaning |", "|---|---|---|"]
        for variable in section.variables where !variable.isHidden {
            let names = ([variable.name] + variable.aliases).map { "`\($0)`" }.joined(separator: " or ")
            let meaning = [variable.help, variable.note].compactMap(\.self).joined(separator: ". ")
            lines.append("| \(names)\(variable.isSecret ? " (secret)" : "") | \(Self.cell(variable)) | \(meaning) |")
        }
        if let note = section.note { lines += ["", note] }
        return lines.joined(separator: "\n")
    }

    private static func cell(_ variable: ConfigurationVariable) -> String {
        switch variable.defaultText {
        case "": "empty"
        case let text?: "`\(text)`"
        case nil:
            switch variable.name {
            case "TRUSTED_ISSUERS": "required"
            case "LOG_FORMAT": "`text` on a terminal, `json` otherwise"
            default: "unset"
            }
        }
    }

    private static func example(_ section: Section) -> String {
        let entries = section.variables.filter { !$0.isHidden }.map { variable in
            "# \(variable.help).\n#\(variable.name)=\(variable.defaultText ?? "")"
        }
        return (["# --- \(section.title) ---"] + entries).joined(separator: "\n\n")
    }
}
