import Foundation
import Logging
import SyncTransport

/// `less-sync serve` and `less-sync dev`: from arguments and environment to an exit code (docs/contract/operations.md §1).
package struct ServeCommand: Sendable {
    private let profile: ServerConfiguration.Profile
    private let environment: [String: String]

    package init(
        _ profile: ServerConfiguration.Profile,
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) {
        self.profile = profile
        self.environment = environment
    }

    /// - Returns: The exit code, once the server has ended.
    package func run(_ arguments: [String]) async -> Int32 {
        guard !arguments.contains(where: { $0 == "--help" || $0 == "-h" }) else {
            Console.print(self.help)
            return ExitStatus.success
        }
        do {
            var arguments = arguments
            let dataDirectory = try self.takeDataDirectory(&arguments)
            let configuration = try self.configuration(arguments, dataDirectory: dataDirectory)
            return await self.serve(configuration, dataDirectory: dataDirectory)
        } catch let error as UsageError {
            Console.error("\(error); see less-sync \(self.name) --help")
            return ExitStatus.usage
        } catch let problems as ConfigurationErrors {
            for error in problems.errors { Console.error(error.message) }
            return ExitStatus.failure
        } catch {
            Console.error("\(error)")
            return ExitStatus.failure
        }
    }

    private var name: String { self.profile == .dev ? "dev" : "serve" }

    // MARK: Configuration

    /// - Parameter dataDirectory: where the database of `dev` is.
    func configuration(_ arguments: [String], dataDirectory: String) throws -> ServerConfiguration {
        var flags = try ServerConfiguration.parseFlags(arguments)
        if self.profile == .dev {
            // The variables of a shell may name a database that matters. `dev` lets anyone in, so it has its own.
            flags["DATABASE_URL"] = flags["DATABASE_URL"] ?? "sqlite:\(dataDirectory)/less-sync.db"
            flags["FILE_STORAGE_BACKEND"] = flags["FILE_STORAGE_BACKEND"] ?? "local"
            flags["FILE_STORAGE_PATH"] = flags["FILE_STORAGE_PATH"] ?? "\(dataDirectory)/files"
            flags["LISTEN_ADDR"] = flags["LISTEN_ADDR"] ?? self.environment["LISTEN_ADDR"] ?? "127.0.0.1:5379"
        }
        return try ServerConfiguration.read(
            environment: self.environment, flags: flags, profile: self.profile,
            readFile: SecretFile.read)
    }

    /// Takes `--data-dir` out of the arguments of `dev`.
    private func takeDataDirectory(_ arguments: inout [String]) throws(UsageError) -> String {
        let flag = "--data-dir"
        guard self.profile == .dev,
            let index = arguments.firstIndex(where: { $0 == flag || $0.hasPrefix(flag + "=") })
        else { return "./data" }
        let argument = arguments.remove(at: index)
        if argument != flag { return String(argument.dropFirst(flag.count + 1)) }
        guard index < arguments.count else { throw UsageError(description: "\(flag) requires a value") }
        return arguments.remove(at: index)
    }

    // MARK: Serving

    private func serve(_ configuration: ServerConfiguration, dataDirectory: String) async -> Int32 {
        let log = ServerLog(level: configuration.logLevel, format: configuration.logFormat)
        let status = await self.serve(configuration, dataDirectory: dataDirectory, log: log)
        await log.flush()
        return status
    }

    private func serve(_ configuration: ServerConfiguration, dataDirectory: String, log: ServerLog) async -> Int32 {
        let logger = log.logger
        var parts = Server.Parts(configuration)
        parts.logLinesDropped = { log.queue.droppedCount }
        if let limit = OpenFileLimit.raise() {
            logger.info("open files", metadata: ["limit": "\(limit)"])
            if limit < UInt64(parts.http.tcpConnectionsMax) {
                logger.warning(
                    "fewer open files are allowed than MAX_CONNECTIONS needs", metadata: ["limit": "\(limit)"])
            }
        }
        var onListening: @Sendable (ListenAddress) async -> Void = { _ in }
        do {
            if self.profile == .dev {
                parts.devIssuer = try DevIssuer(directory: dataDirectory)
                onListening = { log.queue.append(Self.welcome($0, dataDirectory: dataDirectory) + "\n") }
            }
        } catch {
            Console.error("cannot start: \(error)")
            return ExitStatus.failure
        }
        return await Server.runUntilSignal(shutdownTimeout: configuration.shutdownTimeout, log: log) {
            [parts, onListening] in
            try await Server.open(configuration, parts, logger: logger, onListening: onListening)
        }
    }

    // MARK: Texts

    private static func welcome(_ address: ListenAddress, dataDirectory: String) -> String {
        let program = CommandLine.arguments.first ?? "less-sync"
        return """

            less-sync dev listens on http://\(address), data in \(dataDirectory)
            WARNING: whoever reaches this address can be anyone. For development on this machine only.

            A token for the user alice:
              curl -s -X POST http://\(address)/dev/token -d '{"user":"alice"}'

            Three devices sync a folder of yours:
              \(program) demo --url http://\(address) FOLDER

            Control-C ends it.

            """
    }

    private var help: String {
        switch self.profile {
        case .serve:
            """
            Usage: less-sync serve [flags]

            Every flag is a setting and wins over the environment variable in brackets.

            \(ServerConfiguration.flagsHelp)
            """
        case .dev:
            """
            Usage: less-sync dev [--listen-addr 127.0.0.1:5379] [--data-dir ./data] [flags]

            A server for development, on loopback only: SQLite and files in the data directory, and tokens for whoever asks.

              --data-dir DIRECTORY
                    Where the database, the files and the key of the development issuer are (default: ./data)
            \(ServerConfiguration.flagsHelp)
            """
        }
    }
}
