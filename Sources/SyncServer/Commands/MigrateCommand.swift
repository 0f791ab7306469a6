import Foundation
import Logging
import SyncStorage

/// `less-sync migrate` (docs/contract/operations.md §7).
package struct MigrateCommand: Sendable {
    package enum Action: Sendable {
        case up
        /// Undoes versions, with what they hold; only when the user says so twice.
        case down(count: Int, isConfirmed: Bool)
        case status
        case version
        /// Writes the skeleton of the next version into a directory of sources.
        case create(name: String, directory: String)
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// Where the versions of PostgreSQL's schema are, in a clone of the repository.
    package static let defaultDirectory = "Sources/SyncStoragePostgres/Migrations"

    private let environment: [String: String]

    package init(environment: [String: String] = ProcessInfo.processInfo.environment) {
        self.environment = environment
    }

    /// - Parameter databaseURL: wins over `DATABASE_URL`.
    /// - Returns: The exit code.
    package func run(_ action: Action, databaseURL: String?) async -> Int32 {
        do {
            for line in try await self.lines(of: action, databaseURL: databaseURL) { Console.print(line) }
            return ExitStatus.success
        } catch let problems as ConfigurationErrors {
            for error in problems.errors { Console.error(error.message) }
        } catch {
            Console.error("\(error)")
        }
        return ExitStatus.failure
    }

    /// What is printed.
    func lines(of action: Action, databaseURL: String?) async throws -> [String] {
        if case .create(let name, let directory) = action { return [try Self.writeSkeleton(name, in: directory)] }
        if case .down(let count, let isConfirmed) = action {
            guard count > 0 else { throw Failure(description: "the number of versions must be 1 or more") }
            guard isConfirmed else {
                throw Failure(description: "migrate down loses data; confirm it with --yes")
            }
        }
        let configuration = try ServerConfiguration.readDatabase(
            environment: self.environment, databaseURL: databaseURL,
            readFile: SecretFile.read)
        var logger = Logger(label: "less-sync") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .error
        let schema = DatabaseSchema(configuration, logger: logger)
        switch action {
        case .up:
            return try await schema.up().map { "\(Self.number($0)) \($0.name)" } + ["migrations complete"]
        case .down(let count, _):
            return try await schema.down(count).map { "\(Self.number($0)) \($0.name)" }
        case .create: return []
        case .status:
            let versions = try await schema.status()
            let width = versions.map(\.name.count).max() ?? 0
            return versions.map { version in
                let name = version.name.padding(toLength: width, withPad: " ", startingAt: 0)
                return "\(Self.number(version)) \(name)  \(version.appliedAt ?? "pending")"
            }
        case .version:
            return ["\(try await schema.version())"]
        }
    }

    private static func number(_ version: SchemaVersion) -> String { Self.digits(version.number) }

    private static func digits(_ number: Int) -> String {
        let digits = "\(number)"
        return String(repeating: "0", count: max(0, 3 - digits.count)) + digits
    }

    // MARK: A new version

    /// - Returns: The path of the file.
    private static func writeSkeleton(_ name: String, in directory: String) throws -> String {
        guard !name.isEmpty, name.utf8.allSatisfy({ $0 == 0x5f || 0x30...0x39 ~= $0 || 0x61...0x7a ~= $0 }) else {
            throw Failure(description: "NAME may have the characters a-z, 0-9 and _ only")
        }
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: directory, isDirectory: &isDirectory), isDirectory.boolValue else {
            throw Failure(description: "there is no directory \(directory); run this in a clone of the repository")
        }
        let number = DatabaseSchema.latestVersion + 1
        let path = "\(directory)/Migration+\(Self.digits(number)).swift"
        guard !FileManager.default.fileExists(atPath: path) else { throw Failure(description: "\(path) exists") }
        try Self.skeleton(number, name).write(toFile: path, atomically: true, encoding: .utf8)
        return path
    }

    private static func skeleton(_ number: Int, _ name: String) -> String {
        let words = name.split(separator: "_").map(String.init)
        let identifier = (words.first ?? "") + words.dropFirst().map(\.capitalized).joined()
        return """
            extension Migration {
                /// What it adds, and why. Add it to `Migration.all`.
                static let \(identifier) = Migration(
                    version: \(number), name: "\(name)",
                    up: [],
                    down: [])
            }

            """
    }
}
