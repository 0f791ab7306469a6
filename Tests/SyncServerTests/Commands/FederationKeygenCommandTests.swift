import Crypto
import Foundation
import Logging
import SyncAuth
import SyncStorage
import SyncTesting
import Testing

@testable import SyncServer

@Suite("less-sync federation-keygen", .timeLimit(.minutes(5)))
struct FederationKeygenCommandTests {
    private typealias Command = FederationKeygenCommand

    /// Runs the command on a database that has the schema.
    private func withDatabase(_ body: (Database) async throws -> Void) async throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "less-sync-keygen-\(UUID())")
        defer { try? FileManager.default.removeItem(at: directory) }
        let url = "sqlite:\(directory.path)/a.db"
        _ = try await MigrateCommand(environment: [:]).lines(of: .up, databaseURL: url)
        try await body(Database(url: url))
    }

    private struct Database {
        var url: String

        func run(_ arguments: String...) async throws -> [String] {
            try await Command(environment: ["DATABASE_URL": self.url]).lines(try Command.parse(arguments))
        }
    }

    private func value(_ name: String, in lines: [String]) -> String? {
        lines.first { $0.hasPrefix(name + "=") }.map { String($0.dropFirst(name.count + 1)) }
    }

    @Test("OK1: a domain is required")
    func noDomain() async {
        for arguments in [[], ["--no-promote"]] {
            #expect(throws: UsageError(description: "--domain is required")) { try Command.parse(arguments) }
        }
        for domain in ["", "https://", "."] {
            let options = Command.Options(domain: domain)
            await #expect {
                try await Command(environment: [:]).lines(options)
            } throws: { error in
                "\(error)" == "domain must not be empty"
            }
        }
        #expect(await Command(environment: [:]).run([]) == 64)
        #expect(await Command(environment: [:]).run(["--domain", ""]) == 1)
        #expect(await Command(environment: ["DATABASE_URL": "x:"]).run(["--domain", "a"]) == 1)
    }

    @Test("OK2, OK3: flags are parsed; a key is promoted unless told otherwise")
    func flags() throws {
        let options = try Command.parse([
            "--domain", "Sync.Example.COM", "--kid=k1", "--database-url", "sqlite:a", "--print-private", "--if-missing",
        ])
        #expect(
            options
                == Command.Options(
                    domain: "Sync.Example.COM", fragment: "k1", databaseURL: "sqlite:a", printsPrivateKey: true,
                    promotes: true, onlyIfMissing: true))
        #expect(try Command.parse(["--domain", "a", "--no-promote"]).promotes == false)
        for flag in ["-h", "--help"] { #expect(try Command.parse([flag]).wantsHelp) }
        #expect(try Command.parse(["--promote", "x"]).promotedID == "x")
    }

    @Test(
        "OK4: what is wrong with a command line",
        arguments: [
            (["--domain"], "--domain requires a value"), (["--kid"], "--kid requires a value"),
            (["--domain", "a", "--database-url"], "--database-url requires a value"),
            (["--domain", "a", "--nope"], #"unknown argument "--nope""#), (["x"], #"unknown argument "x""#),
            (["--no-promote=1"], #"unknown argument "--no-promote=1""#),
            (["--promote", "a", "--deactivate", "b"], "--promote and --deactivate exclude each other"),
        ])
    func wrongFlags(arguments: [String], message: String) {
        #expect(throws: UsageError(description: message)) { try Command.parse(arguments) }
    }

    @Test("OK5, OK6: a new key signs at once, or waits")
    func promotion() async throws {
        try await self.withDatabase { database in
            let first = try await database.run("--domain", "a.example", "--kid", "1")
            #expect(first.suffix(2) == ["stored_in_database=true", "promoted_for_signing=true"])
            let waiting = try await database.run("--domain", "a.example", "--kid", "2", "--no-promote")
            #expect(waiting.suffix(2) == ["stored_in_database=true", "promoted_for_signing=false"])
            let id = "https://a.example/.well-known/jwks.json#"
            #expect(try await self.keys(of: database) == .init(signing: id + "1", published: [id + "1", id + "2"]))
            _ = try await database.run("--domain", "a.example", "--kid", "3")
            #expect(
                try await self.keys(of: database)
                    == .init(signing: id + "3", published: [id + "1", id + "2", id + "3"]))
        }
    }

    @Test("Keys are promoted and deactivated by id")
    func rotation() async throws {
        try await self.withDatabase { database in
            for kid in ["1", "2"] { _ = try await database.run("--domain", "a.example", "--kid", kid, "--no-promote") }
            let id = "https://a.example/.well-known/jwks.json#"
            #expect(try await database.run("--promote", id + "2") == ["promoted=\(id)2"])
            #expect(try await database.run("--deactivate", id + "1") == ["deactivated=\(id)1"])
            #expect(try await self.keys(of: database) == .init(signing: id + "2", published: [id + "2"]))
            await #expect {
                try await database.run("--promote", "nobody")
            } throws: { error in
                "\(error)" == #"there is no key "nobody""#
            }
            await #expect {
                try await Command(environment: [:]).lines(try Command.parse(["--promote", "x"]))
            } throws: { error in
                "\(error)" == "needs a database: set --database-url or DATABASE_URL"
            }
        }
    }

    @Test("OK7: --if-missing twice makes one key")
    func ifMissing() async throws {
        try await self.withDatabase { database in
            let made = try await database.run("--domain", "a.example", "--if-missing")
            let found = try await database.run("--domain", "a.example", "--if-missing")
            let id = try #require(self.value("key_id", in: made))
            #expect(found == ["A federation signing key exists already", "key_id=\(id)"])
            #expect(try await self.keys(of: database) == .init(signing: id, published: [id]))
        }
    }

    @Test("OK8: an id that exists is refused, and nothing changes")
    func sameID() async throws {
        try await self.withDatabase { database in
            _ = try await database.run("--domain", "a.example", "--kid", "1")
            await #expect {
                try await database.run("--domain", "A.example.", "--kid", "1")
            } throws: { error in
                "\(error)" == "key id already exists"
            }
            let id = "https://a.example/.well-known/jwks.json#1"
            #expect(try await self.keys(of: database) == .init(signing: id, published: [id]))
        }
    }

    @Test("OK9: the domain in an id is canonical; the default fragment is the time")
    func identifiers() async throws {
        let command = Command(environment: [:], now: { Date(timeIntervalSince1970: 1_700_000_000.5) })
        let lines = try await command.lines(try Command.parse(["--domain", "Sync.Example.COM:443"]))
        #expect(
            self.value("key_id", in: lines)
                == "https://sync.example.com/.well-known/jwks.json#fed-1700000000-500000000")
        for kid in ["a b", "a=b", "ä"] {
            await #expect {
                try await command.lines(try Command.parse(["--domain", "a", "--kid", kid]))
            } throws: { error in
                "\(error)".hasPrefix("invalid federation key id ")
            }
        }
    }

    @Test("OK10: lines and their order; the seed is hidden unless asked for, and is that of the key")
    func output() async throws {
        let lines = try await Command(environment: [:]).lines(try Command.parse(["--domain", "a", "--kid", "k"]))
        let x = try #require(self.value("public_key_base64url", in: lines))
        #expect(
            lines == [
                "Generated federation signing key", "key_id=https://a/.well-known/jwks.json#k",
                "public_key_base64url=\(x)", "trusted_keys_entry=https://a/.well-known/jwks.json#k=\(x)",
                "private_seed_base64url=<hidden> (pass --print-private to show)", "stored_in_database=false",
                "hint=set --database-url or DATABASE_URL to persist this key",
            ])
        let shown = try await Command(environment: [:]).lines(
            try Command.parse(["--domain", "a", "--kid", "k", "--print-private"]))
        let seed = try #require(self.value("private_seed_base64url", in: shown).flatMap { Base64URL.decode($0) })
        let key = try Curve25519.Signing.PrivateKey(rawRepresentation: seed)
        #expect(
            self.value("public_key_base64url", in: shown) == Base64URL.encode(key.publicKey.rawRepresentation))
        // What is printed can be configured at the peer.
        let entry = try #require(self.value("trusted_keys_entry", in: shown))
        let peer = try ServerConfiguration.read(
            environment: ["TRUSTED_ISSUERS": "https://i", "FEDERATION_TRUSTED_KEYS": entry], readFile: { _ in "" })
        #expect(peer.federation.trustedKeys.map(\.publicKey) == [Array(key.publicKey.rawRepresentation)])
        #expect(await Command(environment: [:]).run(["--help"]) == 0)
    }

    @Test("A database without the schema is refused, and none is made")
    func noSchema() async throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "less-sync-\(UUID()).db").path
        await #expect {
            try await Command(environment: [:]).lines(
                try Command.parse(["--domain", "a", "--database-url", "sqlite:\(path)"]))
        } throws: { error in
            "\(error)".contains("there is no SQLite database \(path)")
        }
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    private struct Keys: Equatable {
        var signing: String?
        var published: [String]
    }

    private func keys(of database: Database) async throws -> Keys {
        let configuration = try ServerConfiguration.readDatabase(
            environment: ["DATABASE_URL": database.url], readFile: { _ in "" })
        let storage = try await OpenedStorage.openBesideServer(configuration, logger: .init(label: "test"))
        let keys = Keys(
            signing: try await storage.federationSigningKey()?.id,
            published: try await storage.federationPublicKeys().map(\.id))
        await storage.close()
        return keys
    }
}
