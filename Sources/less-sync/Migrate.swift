import ArgumentParser
import SyncServer

struct Migrate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Bring the database schema up to date, or show its state.",
        subcommands: [Up.self, Status.self, Version.self], defaultSubcommand: Up.self)

    struct Database: ParsableArguments {
        @Option(name: .customLong("database-url"), help: "Wins over DATABASE_URL.")
        var url: String?

        func run(_ action: MigrateCommand.Action) async throws {
            try finish(with: await MigrateCommand().run(action, databaseURL: self.url))
        }
    }

    struct Up: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Apply everything missing.")
        @OptionGroup var database: Database
        func run() async throws { try await self.database.run(.up) }
    }

    struct Status: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List all versions.")
        @OptionGroup var database: Database
        func run() async throws { try await self.database.run(.status) }
    }

    struct Version: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Print the current version.")
        @OptionGroup var database: Database
        func run() async throws { try await self.database.run(.version) }
    }
}
