import AsyncHTTPClient
import Foundation
import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import SyncAuth
import SyncClient
import SyncProtocol
import SyncStorageSQLite
import SyncTesting
import SyncTransport
import Testing

/// The program from its arguments to its exit code (docs/contract/operations.md §1–§3, §6, §7).
@Suite("Program, end to end", .timeLimit(.minutes(1)))
struct ProgramTests {
    private static let logSettings = ["LOG_FORMAT": "json", "LISTEN_ADDR": "127.0.0.1:0"]

    /// Lines of the log, which is JSON, with this message.
    private static func lines(_ message: String, of program: Program) -> [Substring] {
        program.standardOutput.split(separator: "\n").filter { $0.contains(#""message":"\#(message)""#) }
    }

    // MARK: Wrong settings

    @Test("OC20: wrong values are reported all at once, and the exit code is 1")
    func wrongValues() async throws {
        let program = try Program(
            ["serve", "--database-pool-size", "2"],
            environment: [
                "LISTEN_ADDR": "not-an-address", "MAX_FILE_SIZE": "0", "FILE_STORAGE_BACKEND": "gcs",
                "DATABASE_URL": "mysql://user:password@host/db",
            ])
        #expect(try await program.waitUntilExit() == 1)
        let lines = program.errorLines
        #expect(lines.count == 6)
        for word in [
            "invalid LISTEN_ADDR", "unsupported DATABASE_URL scheme \"mysql\"", "TRUSTED_ISSUERS must be set",
            "MAX_FILE_SIZE", "FILE_STORAGE_BACKEND", "DATABASE_POOL_SIZE",
        ] {
            #expect(lines.contains { $0.contains(word) }, "\(word)")
        }
        #expect(!program.standardError.contains("password"))
        #expect(!program.standardOutput.contains("server listening"))
    }

    @Test("A secret may come from a file descriptor, which is read once")
    func secretFromDescriptor() async throws {
        try await withTemporaryDirectory { directory in
            let command = #"exec "$0" config show 3< <(echo postgres://user:hunter2@host/db)"#
            let program = try Program(
                ["-c", command, Program.path],
                environment: ["DATABASE_URL_FILE": "/dev/fd/3", "TRUSTED_ISSUERS": "http://127.0.0.1:1"],
                directory: directory, executable: "/bin/bash")
            #expect(try await program.waitUntilExit() == 0, "\(program.standardError)")
            let line = program.standardOutput.split(separator: "\n").first { $0.hasPrefix("DATABASE_URL ") }
            #expect(line?.contains("/dev/fd/3") == true && line?.contains("hunter2") == false, "\(line ?? "")")
            for path in ["/nowhere", "/dev/zero", directory] {
                let wrong = try Program(["config", "check"], environment: ["DATABASE_URL_FILE": path])
                #expect(try await wrong.waitUntilExit() == 1)
                #expect(wrong.errorLines.contains("Error: DATABASE_URL_FILE: cannot read \"\(path)\""))
            }
        }
    }

    @Test(
        "Usage errors exit with 64",
        arguments: [
            ["serve", "--no-such-flag"], ["serve", "--listen-addr"], ["dev", "--data-dir"], ["no-such-command"],
            ["migrate", "no-such-command"], ["healthcheck", "--no-such-flag"],
        ])
    func usage(arguments: [String]) async throws {
        let program = try Program(arguments)
        #expect(try await program.waitUntilExit() == 64)
    }

    @Test("Help and version exit with 0", arguments: [["--help"], ["--version"], ["serve", "--help"], ["dev", "-h"]])
    func help(arguments: [String]) async throws {
        let program = try Program(arguments)
        #expect(try await program.waitUntilExit() == 0)
        #expect(!program.standardOutput.isEmpty)
    }

    @Test("dev refuses an address that is not loopback")
    func devAddress() async throws {
        let program = try Program(["dev", "--listen-addr", "0.0.0.0:0"])
        #expect(try await program.waitUntilExit() == 1)
        #expect(program.errorLines.count == 1)
    }

    // MARK: Start

    @Test("OS4: a database that cannot be reached ends the start with 1, and no password is shown")
    func unreachableDatabase() async throws {
        let program = try Program(
            ["serve"],
            environment: Self.logSettings.merging([
                "DATABASE_URL": "postgres://user:hunter2@127.0.0.1:1/db", "TRUSTED_ISSUERS": "http://127.0.0.1:1",
            ]) { $1 })
        #expect(try await program.waitUntilExit() == 1)
        #expect(program.errorLines.count == 1)
        #expect(
            program.errorLines.first?.hasPrefix(
                "Error: cannot start: database error: cannot connect to PostgreSQL: connection to server at \"127.0.0.1\", "
                    + "port 1 failed: Connection refused") == true)
        #expect(!(program.standardError + program.standardOutput).contains("hunter2"))
    }

    @Test("healthcheck says in one sentence of its own why there is no answer")
    func healthcheckFailures() async throws {
        let expected = [
            "http://127.0.0.1:1": "cannot reach http://127.0.0.1:1/health: connection refused",
            "http://localhost:1": "cannot reach http://localhost:1/health: connection refused",
            "127.0.0.1:5379": "invalid URL 127.0.0.1:5379",
            "ftp://127.0.0.1": "invalid URL ftp://127.0.0.1/health",
        ]
        for (url, line) in expected {
            let program = try Program(["healthcheck", "--url", url])
            #expect(try await program.waitUntilExit() == 1)
            #expect(program.errorLines.map(String.init) == ["Error: " + line])
        }
    }

    @Test("A signal while the database does not answer ends the start with 0")
    func signalDuringStart() async throws {
        // It accepts, and says nothing.
        let silent = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(silent.localAddress?.port)
        let program = try Program(
            ["serve"],
            environment: Self.logSettings.merging([
                "DATABASE_URL": "postgres://user@127.0.0.1:\(port)/db?sslmode=disable",
                "TRUSTED_ISSUERS": "http://127.0.0.1:1",
            ]) { $1 })
        // The first lines come before the database.
        try await eventually("the start has begun") {
            program.standardOutput.contains("IDENTITY_HASH_KEY")
        }
        program.send(SIGTERM)
        #expect(try await program.waitUntilExit(within: .seconds(10)) == 0)
        #expect(Self.lines("shutdown requested", of: program).count == 1)
        #expect(program.errorLines.isEmpty)
        try await silent.close()
    }

    @Test("OS5: a port in use ends the start with 1")
    func portInUse() async throws {
        let other = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(other.localAddress?.port)
        try await withTemporaryDirectory { directory in
            let program = try Program(
                ["serve", "--listen-addr", "127.0.0.1:\(port)", "--trusted-issuers", "http://127.0.0.1:1"],
                directory: directory)
            #expect(try await program.waitUntilExit() == 1)
            #expect(
                program.errorLines == [
                    "Error: cannot listen on 127.0.0.1:\(port) (LISTEN_ADDR): Address already in use"
                ])
            let metrics = try Program(
                ["serve", "--listen-addr", "127.0.0.1:0", "--trusted-issuers", "http://127.0.0.1:1"],
                environment: ["METRICS_LISTEN_ADDR": "127.0.0.1:\(port)"], directory: directory)
            #expect(try await metrics.waitUntilExit() == 1)
            #expect(
                metrics.errorLines
                    == ["Error: cannot listen on 127.0.0.1:\(port) (METRICS_LISTEN_ADDR): Address already in use"])
        }
        try await other.close()
    }

    @Test("OS6: in an empty directory the server starts, healthy, with a database of its own")
    func freshDirectory() async throws {
        try await withTemporaryDirectory { directory in
            let program = try Program(
                ["serve", "--trusted-issuers", "http://127.0.0.1:1"], environment: Self.logSettings,
                directory: directory)
            let port = try await program.port()
            #expect(FileManager.default.fileExists(atPath: directory + "/data/less-sync.db"))
            let applied = Self.lines("migration applied", of: program)
            #expect(applied.count == 14)
            #expect(applied.last?.contains(#""name":"file_deletions","version":"14""#) == true)

            let url = "http://127.0.0.1:\(port)/health"
            for address in [url, "http://127.0.0.1:\(port)", "http://127.0.0.1:\(port)/"] {
                let check = try Program(["healthcheck", "--url", address])
                #expect(try await check.waitUntilExit() == 0, "\(address)")
            }
            let ownCheck = try Program(["healthcheck"], environment: ["LISTEN_ADDR": "0.0.0.0:\(port)"])
            #expect(try await ownCheck.waitUntilExit() == 0)
            let otherRoute = try Program(["healthcheck", "--url", "http://127.0.0.1:\(port)/nowhere"])
            #expect(try await otherRoute.waitUntilExit() == 1)
            let secure = try Program(["healthcheck", "--url", "https://127.0.0.1:\(port)"])
            #expect(try await secure.waitUntilExit() == 1)
            #expect(
                secure.errorLines == ["Error: cannot reach https://127.0.0.1:\(port)/health: TLS handshake failed"])
            program.send(SIGTERM)
            #expect(try await program.waitUntilExit() == 0)
            let checkAfter = try Program(["healthcheck", "--url", url])
            #expect(try await checkAfter.waitUntilExit() == 1)
        }
    }

    @Test(
        "OS7: two servers that start together on an empty PostgreSQL database are both healthy",
        .enabled(if: TestBackend.available.contains(.postgres), "the PostgreSQL programs are not installed"))
    func twoServers() async throws {
        try await TestDatabaseURL.with(.postgres) { database in
            let servers = try (0..<2).map { _ in
                try Program(
                    ["serve", "--trusted-issuers", "http://127.0.0.1:1", "--database-url", database.url],
                    environment: Self.logSettings)
            }
            for server in servers {
                let check = try Program(["healthcheck", "--url", "http://127.0.0.1:\(try await server.port())"])
                #expect(try await check.waitUntilExit() == 0)
            }
            // Each version was applied by one of them.
            let applied = servers.flatMap { Self.lines("migration applied", of: $0) }
            let versions = try await database.execute("SELECT count(*) FROM less_sync_migrations")
            #expect(versions == [[.integer(Int64(applied.count))]])
            #expect(!applied.isEmpty)
            for server in servers { server.send(SIGTERM) }
            for server in servers { #expect(try await server.waitUntilExit() == 0) }
        }
    }

    @Test("The limit of open files that a shell gave is raised to what the system allows")
    func openFiles() async throws {
        try await withTemporaryDirectory { directory in
            let program = try Program(
                ["serve", "--trusted-issuers", "http://127.0.0.1:1"], environment: Self.logSettings,
                directory: directory, openFiles: 256)
            _ = try await program.port()
            let limits = try String(contentsOfFile: "/proc/\(program.id)/limits", encoding: .utf8)
            let line = try #require(limits.split(separator: "\n").first { $0.hasPrefix("Max open files") })
            let numbers = line.split(separator: " ").compactMap { Int($0) }
            #expect(numbers.count == 2 && numbers.first == numbers.last && numbers != [256, 256])
        }
    }

    @Test("dev gives tokens to whoever asks, and serves them")
    func dev() async throws {
        try await withTemporaryDirectory { directory in
            // A database in the environment is none of its business.
            let program = try Program(
                ["dev", "--listen-addr", "127.0.0.1:0", "--data-dir", directory + "/data"],
                environment: ["LOG_FORMAT": "json", "DATABASE_URL": "postgres://127.0.0.1:1/production"])
            let port = try await program.port()
            var request = HTTPClientRequest(url: "http://127.0.0.1:\(port)/dev/token")
            request.method = .POST
            request.body = .bytes(ByteBuffer(string: #"{"user":"alice"}"#))
            let response = try await HTTPClient.shared.execute(request, timeout: .seconds(10))
            #expect(response.status == .ok)
            let body = try await response.body.collect(upTo: 65_536)
            let answer = try JSONDecoder().decode(DevToken.self, from: Data(body.readableBytesView))

            let client = try await SyncClient.connect(
                to: "http://127.0.0.1:\(port)/api/v1/ws", token: answer.token)
            let push = PushParams(space: answer.space, changes: [.fixture(1)])
            #expect(try await client.push(push) == .accepted(cursor: 1))
            await client.close()

            #expect(program.standardOutput.contains("curl -s -X POST http://127.0.0.1:\(port)/dev/token"))
            program.send(SIGINT)
            #expect(try await program.waitUntilExit() == 0)
        }
    }

    private struct DevToken: Decodable {
        let token: String
        let space: String

        private enum CodingKeys: String, CodingKey {
            case token
            case space = "personal_space_id"
        }
    }

    // MARK: Migrations

    @Test("OM1, OM2: migrate up, again, and the status before and after", arguments: TestBackend.available)
    func migrate(on backend: TestBackend) async throws {
        try await TestDatabaseURL.with(backend) { database in
            func run(_ arguments: String...) async throws -> [Substring] {
                let program = try Program(["migrate"] + arguments, environment: ["DATABASE_URL": database.url])
                #expect(try await program.waitUntilExit() == 0, "\(program.standardError)")
                return program.standardOutput.split(separator: "\n")
            }
            let latest = 14
            let before = try await run("status")
            #expect(before.count == latest)
            #expect(before.allSatisfy { $0.hasSuffix("pending") })
            #expect(try await run("version") == ["0"])

            let applied = try await run("up")
            #expect(applied.count == latest + 1)
            #expect(applied.last == "migrations complete")
            #expect(try await run() == ["migrations complete"])
            let after = try await run("status")
            #expect(after.count == latest)
            #expect(!after.contains { $0.hasSuffix("pending") })
            #expect(try await run("version") == ["\(latest)"])
        }
    }

    @Test("OM5: migrate on a database that cannot be reached names the cause, exits with 1 and shows no password")
    func migrateUnreachable() async throws {
        let program = try Program(["migrate", "--database-url", "postgres://user:hunter2@127.0.0.1:1/db"])
        #expect(try await program.waitUntilExit() == 1)
        #expect(program.errorLines.count == 1)
        #expect(
            program.errorLines.first?.hasPrefix(
                "Error: database error: cannot connect to PostgreSQL: connection to server at \"127.0.0.1\", port 1 failed: "
                    + "Connection refused") == true)
        #expect(!(program.standardError + program.standardOutput).contains("hunter2"))
    }

    // MARK: Shutdown

    @Test("OG4: without connections the program ends within a second of the signal", arguments: TestBackend.available)
    func quickShutdown(on backend: TestBackend) async throws {
        try await TestDatabaseURL.with(backend) { database in
            // On a busy machine the time slices of others count too: one good run of three is the proof.
            var fastest = Duration.seconds(60)
            for _ in 0..<3 where fastest >= .seconds(1) {
                let program = try Program(
                    ["serve", "--trusted-issuers", "http://127.0.0.1:1", "--database-url", database.url],
                    environment: Self.logSettings)
                _ = try await program.port()
                let start = ContinuousClock.now
                program.send(SIGTERM)
                #expect(try await program.waitUntilExit() == 0)
                fastest = min(fastest, ContinuousClock.now - start)
            }
            #expect(fastest < .seconds(1))
        }
    }

    @Test("OG5: a second signal ends the program at once with 1")
    func secondSignal() async throws {
        try await Self.withBusyProgram { program, _ in
            program.send(SIGTERM)
            try await eventually("the shutdown begins") { program.standardOutput.contains("shutdown requested") }
            let start = ContinuousClock.now
            program.send(SIGTERM)
            #expect(try await program.waitUntilExit() == 1)
            #expect(ContinuousClock.now - start < .seconds(9))
        }
    }

    @Test("A shutdown that takes longer than SHUTDOWN_TIMEOUT_SECONDS ends with 1")
    func shutdownTimeout() async throws {
        try await Self.withBusyProgram(shutdownTimeoutSeconds: 1) { program, _ in
            program.send(SIGTERM)
            let status = try await program.waitUntilExit()
            #expect(status == 1)
        }
    }

    @Test("OG6: after a graceful exit the SQLite file needs no recovery")
    func cleanDatabase() async throws {
        try await TestDatabaseURL.with(.sqlite) { database in
            try await TestIssuerServer.run { issuer in
                let program = try Program(
                    ["serve", "--trusted-issuers", issuer.issuer, "--database-url", database.url],
                    environment: Self.logSettings)
                let user = issuer.user("alice")
                let client = try await SyncClient.connect(
                    to: "http://127.0.0.1:\(try await program.port())/api/v1/ws", token: try issuer.token(user))
                let space = try #require(user.personalSpace).wireText
                for number in 1...10 {
                    let push = PushParams(space: space, changes: [.fixture(number)])
                    #expect(try await client.push(push) == .accepted(cursor: Int64(number)))
                }
                program.send(SIGTERM)
                #expect(try await program.waitUntilExit() == 0)
                await client.close()
            }
            // Everything is in the database itself.
            let log = try? FileManager.default.attributesOfItem(atPath: database.path + "-wal")
            #expect((log?[.size] as? Int ?? 0) == 0)
            let console = try await SQLiteConsole(path: database.path)
            #expect(try await console.execute("PRAGMA integrity_check") == [[.text("ok")]])
            #expect(try await console.execute("SELECT count(*) FROM records") == [[.integer(10)]])
            try await console.close()
        }
    }

    /// A program with a pull in progress that its client does not read, which keeps a graceful shutdown busy.
    private static func withBusyProgram(
        shutdownTimeoutSeconds: Int = 30, _ body: (Program, WireClient) async throws -> Void
    ) async throws {
        try await TestDatabaseURL.with(.sqlite) { database in
            try await TestIssuerServer.run { issuer in
                let program = try Program(
                    [
                        "serve", "--trusted-issuers", issuer.issuer, "--database-url", database.url,
                        "--shutdown-timeout-seconds", "\(shutdownTimeoutSeconds)",
                    ],
                    environment: Self.logSettings)
                let client = try await BusyPull.start(port: try await program.port(), issuer: issuer)
                try await body(program, client)
                client.connection.closeDiscardingQueue(CloseFrame(code: 1000, reason: ""))
            }
        }
    }
}
