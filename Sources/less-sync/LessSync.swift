import ArgumentParser
import SyncServer

@main
struct LessSync: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "less-sync",
        abstract: "A sync server for local-first apps with end-to-end encrypted data.",
        version: Version.current,
        subcommands: [
            Serve.self, Dev.self, DemoSubcommand.self, BenchSubcommand.self, Migrate.self, Files.self, Config.self,
            FederationKeygen.self, HealthCheck.self,
        ])
}

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve clients; see less-sync serve --help for every setting.")

    @Argument(parsing: .captureForPassthrough, help: "Settings as flags.")
    var flags: [String] = []

    func run() async throws {
        try finish(with: await ServeCommand(.serve).run(self.flags))
    }
}

struct Dev: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve on this machine only, with SQLite and tokens for whoever asks.")

    @Argument(parsing: .captureForPassthrough, help: "--data-dir, and settings as flags.")
    var flags: [String] = []

    func run() async throws {
        try finish(with: await ServeCommand(.dev).run(self.flags))
    }
}

struct FederationKeygen: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "federation-keygen", abstract: "Make, promote and retire the keys that sign for this server.")

    @Argument(parsing: .captureForPassthrough, help: "See less-sync federation-keygen --help.")
    var flags: [String] = []

    func run() async throws { try finish(with: await FederationKeygenCommand().run(self.flags)) }
}

struct HealthCheck: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "healthcheck", abstract: "Ask a running server whether it is healthy; exit 0 or 1.")

    @Option(help: "Address of the server, or of its health route (default: the one that LISTEN_ADDR names).")
    var url: String?

    func run() async throws {
        try finish(with: await HealthCheckCommand.run(url: self.url))
    }
}

/// Ends a subcommand with an exit code.
func finish(with status: Int32) throws {
    if status != ExitStatus.success { throw ExitCode(status) }
}
