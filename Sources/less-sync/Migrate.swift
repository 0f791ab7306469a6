import ArgumentParser
import SyncServer

struct Migrate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Bring the database schema up to date, or show its state.",
        subcommands: [Up.self, Down.self, Status.self, Version.self, Create.self], defaultSubcommand: Up.self)

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

    struct Down: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Undo the latest versions, with the data that they hold; SQLite: all of them or none.")

        @Argument(help: "How many versions.")
        var count = 1

        @Flag(help: "Really do it.")
        var yes = false

        @OptionGroup var database: Database

        func run() async throws { try await self.database.run(.down(count: self.count, isConfirmed: self.yes)) }
    }

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "For developers: write the skeleton of the next version.")

        @Argument(help: "Its name: a-z, 0-9 and _.")
        var name: String

        @Option(help: "Where to write it.")
        var directory = MigrateCommand.defaultDirectory

        func run() async throws {
            try finish(
                with: await MigrateCommand().run(
                    .create(name: self.name, directory: self.directory), databaseURL: nil))
        }
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
