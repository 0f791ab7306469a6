import ArgumentParser
import SyncServer

struct Config: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check or show the settings of a server without starting it.",
        subcommands: [Check.self, Show.self, Reference.self, Example.self])

    struct Check: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Report everything that is wrong; exit 0 or 1.")

        @Argument(parsing: .captureForPassthrough, help: "Settings as flags of serve.")
        var flags: [String] = []

        func run() async throws { try finish(with: ConfigurationCommand().run(.check, flags: self.flags)) }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List every setting, its value without secrets, and where it comes from.")

        @Argument(parsing: .captureForPassthrough, help: "--json, and settings as flags of serve.")
        var flags: [String] = []

        func run() async throws {
            let asJSON = self.flags.contains("--json")
            let flags = self.flags.filter { $0 != "--json" }
            try finish(with: ConfigurationCommand().run(.show(asJSON: asJSON), flags: flags))
        }
    }

    struct Reference: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Print the reference page of all settings.")
        func run() async throws { try finish(with: ConfigurationCommand().run(.reference, flags: [])) }
    }

    struct Example: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Print an environment file with all settings.")
        func run() async throws { try finish(with: ConfigurationCommand().run(.example, flags: [])) }
    }
}
