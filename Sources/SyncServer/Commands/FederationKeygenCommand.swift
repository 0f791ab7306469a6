import Crypto
package import Foundation
import Logging
import NIOCore
import SyncAuth
import SyncStorage

/// `less-sync federation-keygen`: makes, promotes and retires the keys with which this server signs
/// (docs/contract/operations.md §8).
package struct FederationKeygenCommand: Sendable {
    /// What the command line asks for.
    struct Options: Equatable {
        var domain: String?
        var fragment: String?
        var databaseURL: String?
        var printsPrivateKey = false
        var promotes = true
        var onlyIfMissing = false
        /// A key id to promote instead of making a key.
        var promotedID: String?
        /// A key id to take out of use instead of making a key.
        var deactivatedID: String?
        var wantsHelp = false
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    private let environment: [String: String]
    private let now: @Sendable () -> Date

    package init(
        environment: [String: String] = ProcessInfo.processInfo.environment,
        now: @escaping @Sendable () -> Date = { Date() }
    ) {
        self.environment = environment
        self.now = now
    }

    /// - Returns: The exit code.
    package func run(_ arguments: [String]) async -> Int32 {
        do {
            for line in try await self.lines(Self.parse(arguments)) { Console.print(line) }
            return ExitStatus.success
        } catch let error as UsageError {
            Console.error("\(error); see less-sync federation-keygen --help")
            return ExitStatus.usage
        } catch let problems as ConfigurationErrors {
            for error in problems.errors { Console.error(error.message) }
        } catch {
            Console.error("\(error)")
        }
        return ExitStatus.failure
    }

    // MARK: Command line

    static func parse(_ arguments: [String]) throws(UsageError) -> Options {
        var options = Options()
        var remaining = arguments[...]
        while let argument = remaining.popFirst() {
            let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let flag = parts[0]
            func value() throws(UsageError) -> String {
                if parts.count == 2 { return parts[1] }
                guard let value = remaining.popFirst() else {
                    throw UsageError(description: "\(flag) requires a value")
                }
                return value
            }
            switch (flag, parts.count) {
            case ("--domain", _): options.domain = try value()
            case ("--kid", _): options.fragment = try value()
            case ("--database-url", _): options.databaseURL = try value()
            case ("--promote", _): options.promotedID = try value()
            case ("--deactivate", _): options.deactivatedID = try value()
            case ("--print-private", 1): options.printsPrivateKey = true
            case ("--no-promote", 1): options.promotes = false
            case ("--if-missing", 1): options.onlyIfMissing = true
            case ("--help", 1), ("-h", 1): options.wantsHelp = true
            default: throw UsageError(description: "unknown argument \(ConfigurationError.quoted(argument))")
            }
        }
        let changesKey = options.promotedID != nil || options.deactivatedID != nil
        guard options.wantsHelp || changesKey || options.domain != nil else {
            throw UsageError(description: "--domain is required")
        }
        guard options.promotedID == nil || options.deactivatedID == nil else {
            throw UsageError(description: "--promote and --deactivate exclude each other")
        }
        return options
    }

    // MARK: Work

    /// What is printed.
    func lines(_ options: Options) async throws -> [String] {
        guard !options.wantsHelp else { return [Self.help] }
        guard let configuration = try self.databaseConfiguration(options.databaseURL) else {
            guard options.promotedID == nil, options.deactivatedID == nil, !options.onlyIfMissing else {
                throw Failure(description: "needs a database: set --database-url or DATABASE_URL")
            }
            return try self.description(of: self.makeKey(options), options) + [
                "stored_in_database=false", "hint=set --database-url or DATABASE_URL to persist this key",
            ]
        }
        var logger = Logger(label: "less-sync") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .error
        let storage = try await OpenedStorage.openBesideServer(configuration, logger: logger)
        let result = await Self.result { try await self.lines(options, storage) }
        await storage.close()
        return try result.get()
    }

    private func lines(_ options: Options, _ storage: any Storage) async throws -> [String] {
        if let id = options.promotedID {
            try await Self.change(id) { id throws(StorageError) in try await storage.promoteFederationKey(id) }
            return ["promoted=\(id)"]
        }
        if let id = options.deactivatedID {
            try await Self.change(id) { id throws(StorageError) in try await storage.deactivateFederationKey(id) }
            return ["deactivated=\(id)"]
        }
        if options.onlyIfMissing, let existing = try await storage.federationSigningKey() {
            return ["A federation signing key exists already", "key_id=\(existing.id)"]
        }
        let key = try self.makeKey(options)
        let pair = FederationKeyPair(
            id: key.id, privateKey: ByteBuffer(bytes: key.privateKey.rawRepresentation),
            publicKey: ByteBuffer(bytes: key.privateKey.publicKey.rawRepresentation))
        guard try await storage.addFederationKey(pair) else { throw Failure(description: "key id already exists") }
        if options.promotes { try await storage.promoteFederationKey(key.id) }
        return self.description(of: key, options)
            + ["stored_in_database=true", "promoted_for_signing=\(options.promotes)"]
    }

    private static func change(
        _ id: String, _ body: (String) async throws(StorageError) -> Void
    ) async throws {
        do {
            try await body(id)
        } catch StorageError.federationKeyNotFound {
            throw Failure(description: "there is no key \(ConfigurationError.quoted(id))")
        }
    }

    private static func result<Value: Sendable>(_ body: () async throws -> Value) async -> Result<Value, any Error> {
        do { return .success(try await body()) } catch { return .failure(error) }
    }

    /// `nil` when nobody names one: the default database of `serve` is not meant here.
    private func databaseConfiguration(_ url: String?) throws -> ServerConfiguration? {
        guard url != nil || self.environment["DATABASE_URL"] != nil || self.environment["DATABASE_URL_FILE"] != nil
        else { return nil }
        return try ServerConfiguration.readDatabase(
            environment: self.environment, databaseURL: url,
            readFile: SecretFile.read)
    }

    // MARK: The key

    private struct Key {
        var id: String
        var privateKey: Curve25519.Signing.PrivateKey
    }

    private func makeKey(_ options: Options) throws(Failure) -> Key {
        guard let domain = options.domain.flatMap({ PeerDomain($0) }) else {
            throw Failure(description: "domain must not be empty")
        }
        let fragment = options.fragment ?? Self.fragment(for: self.now())
        let id = "https://\(domain)/.well-known/jwks.json#\(fragment)"
        // Where a key is trusted it is written between white space and an equals sign.
        guard PeerDomain(keyID: id) != nil, id.utf8.allSatisfy({ 0x21...0x7e ~= $0 && $0 != UInt8(ascii: "=") }) else {
            throw Failure(description: "invalid federation key id \(ConfigurationError.quoted(id))")
        }
        return Key(id: id, privateKey: Curve25519.Signing.PrivateKey())
    }

    private static func fragment(for date: Date) -> String {
        let nanoseconds = Int64((date.timeIntervalSince1970 * 1_000_000_000).rounded())
        return "fed-\(nanoseconds / 1_000_000_000)-\(nanoseconds % 1_000_000_000)"
    }

    private func description(of key: Key, _ options: Options) -> [String] {
        let publicKey = Base64URL.encode(key.privateKey.publicKey.rawRepresentation)
        let seed =
            options.printsPrivateKey
            ? Base64URL.encode(key.privateKey.rawRepresentation) : "<hidden> (pass --print-private to show)"
        return [
            "Generated federation signing key", "key_id=\(key.id)", "public_key_base64url=\(publicKey)",
            "trusted_keys_entry=\(key.id)=\(publicKey)", "private_seed_base64url=\(seed)",
        ]
    }

    private static let help = """
        Usage: less-sync federation-keygen --domain DOMAIN [flags]
               less-sync federation-keygen --promote KEY_ID | --deactivate KEY_ID

        Makes an Ed25519 key with which this server signs its requests to other servers, and prints what they need to trust it.

          --domain DOMAIN      The name under which other servers reach this one
          --kid FRAGMENT       The end of the key id (default: fed-<seconds>-<nanoseconds>)
          --database-url URL   Where to store the key; wins over DATABASE_URL. With neither it is only printed
          --no-promote         Store the key without signing with it yet
          --if-missing         Do nothing when there is a key that signs
          --print-private      Print the seed, too
          --promote KEY_ID     Sign with this key from now on
          --deactivate KEY_ID  Take this key out of use and out of the published key set
        """
}
