import Foundation

/// `less-sync config`: looks at settings without starting anything.
package struct ConfigurationCommand: Sendable {
    package enum Action: Sendable {
        /// Reports everything that is wrong; exit code 1 when anything is.
        case check
        /// Lists every setting with its value and where that comes from.
        case show(asJSON: Bool)
        /// Prints docs/configuration.md.
        case reference
        /// Prints .env.example.
        case example
    }

    private let environment: [String: String]
    private let readFile: @Sendable (String) throws -> String

    package init(environment: [String: String] = ProcessInfo.processInfo.environment) {
        self.environment = environment
        self.readFile = SecretFile.read
    }

    /// - Parameter flags: those of `serve`.
    /// - Returns: The exit code.
    package func run(_ action: Action, flags: [String]) -> Int32 {
        do {
            Console.print(try self.output(of: action, flags: flags))
            return ExitStatus.success
        } catch let error as UsageError {
            Console.error("\(error); see less-sync serve --help")
            return ExitStatus.usage
        } catch let problems as ConfigurationErrors {
            for error in problems.errors { Console.error(error.message) }
        } catch {
            Console.error("\(error)")
        }
        return ExitStatus.failure
    }

    /// What is printed, without the last newline.
    func output(of action: Action, flags: [String]) throws -> String {
        let flags = try ServerConfiguration.parseFlags(flags)
        switch action {
        case .check:
            let configuration = try ServerConfiguration.read(
                environment: self.environment, flags: flags, readFile: self.readFile)
            return (configuration.warnings.map { "Warning: \($0)" } + ["configuration is valid"])
                .joined(separator: "\n")
        case .show(let asJSON):
            let settings: [EffectiveSetting]
            do {
                settings = try EffectiveSetting.all(
                    environment: self.environment, flags: flags, readFile: self.readFile)
            } catch { throw ConfigurationErrors(errors: [error]) }
            return asJSON ? try Self.json(settings) : Self.table(settings)
        case .reference: return String(ConfigurationReference.markdown.dropLast())
        case .example: return String(ConfigurationReference.environmentExample.dropLast())
        }
    }

    private static func table(_ settings: [EffectiveSetting]) -> String {
        let width = settings.map(\.name.count).max() ?? 0
        return settings.map { setting in
            let name = setting.name.padding(toLength: width, withPad: " ", startingAt: 0)
            let value = setting.value.map { $0.isEmpty ? "(empty)" : ConfigurationError.oneLine($0) } ?? "(unset)"
            return "\(name)  \(value)  [\(setting.source)]"
        }.joined(separator: "\n")
    }

    private static func json(_ settings: [EffectiveSetting]) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(settings), as: UTF8.self)
    }
}
