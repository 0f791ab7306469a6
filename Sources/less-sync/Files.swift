import ArgumentParser
import SyncServer

struct Files: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Look after the file storage.", subcommands: [Collect.self])

    struct Collect: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "gc",
            abstract: "Remove objects that no recorded file has, and recorded files whose object is gone.",
            discussion: "Reads DATABASE_URL and FILE_… as serve does. May run beside servers.")

        @Flag(help: "Only report.")
        var dryRun = false

        @Flag(help: "Print one JSON object.")
        var json = false

        @Flag(help: "Go on although most rows have no object, or most objects no row.")
        var force = false

        @Option(help: "Leave objects alone that are younger than this many seconds.")
        var minAge = 3_600

        @Option(name: .customLong("database-url"), help: "Wins over DATABASE_URL.")
        var databaseURL: String?

        func validate() throws {
            guard self.minAge >= 0 else { throw ValidationError("--min-age must not be negative") }
        }

        func run() async throws {
            var options = FilesCommand.Options()
            options.isDryRun = self.dryRun
            options.isJSON = self.json
            options.isForced = self.force
            options.minimumAge = self.minAge
            options.databaseURL = self.databaseURL
            try finish(with: await FilesCommand().collect(options))
        }
    }
}
