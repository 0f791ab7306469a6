import Foundation
import Logging
import SyncStorage

/// `less-sync migrate` (docs/contract/operations.md §7).
package struct MigrateCommand: Sendable {
    package enum Action: Sendable {
        case up
        case status
        case version
    }

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
        let configuration = try ServerConfiguration.readDatabase(
            environment: self.environment, databaseURL: databaseURL,
            readFile: { try String(contentsOfFile: $0, encoding: .utf8) })
        var logger = Logger(label: "less-sync") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .error
        let schema = DatabaseSchema(configuration, logger: logger)
        switch action {
        case .up:
            return try await schema.up().map { "\(Self.number($0)) \($0.name)" } + ["migrations complete"]
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

    private static func number(_ version: SchemaVersion) -> String {
        let digits = "\(version.number)"
        return String(repeating: "0", count: max(0, 3 - digits.count)) + digits
    }
}
