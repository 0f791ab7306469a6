import Foundation
import NIOCore
import Synchronization

/// A private PostgreSQL server in a temporary directory: a real one, with the durability of its defaults.
///
/// Its programs come from the installed Debian package and refuse to run as root, so as root they run as the user
/// `postgres`. The server ends with this process, however that ends, and its directory goes with it.
/// `LESS_SYNC_TEST_DATABASE_URL` names a server to use instead of `shared`.
package final class PostgresServer: Sendable {
    package enum Failure: Error, Sendable {
        case programsNotFound
        case noDirectory(path: String, errno: Int32)
        case notReady(log: String)
    }

    private let programs: String
    private let directory: String
    private let port: Int
    private let process = Mutex<ServerProcess?>(nil)

    /// Time that a server may take to accept connections.
    private static let startLimit: Duration = .seconds(60)

    /// Time that `initdb` may take; on two busy cores it takes 5 seconds.
    private static let initializationLimit: Duration = .seconds(120)

    /// The directory of the server programs, if they are installed.
    package static let programs: String? = {
        let installed = (try? FileManager.default.contentsOfDirectory(atPath: "/usr/lib/postgresql")) ?? []
        let versions = installed.sorted { $0.compare($1, options: .numeric) == .orderedDescending }
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        let candidates = versions.map { "/usr/lib/postgresql/\($0)/bin" } + path.split(separator: ":").map(String.init)
        return candidates.first { FileManager.default.isExecutableFile(atPath: $0 + "/initdb") }
    }()

    /// The URL of the server that all tests of this process share. It starts with the first caller.
    package static func sharedURL() async throws -> String {
        if let url = Self.givenURL { return url }
        return try await Self.shared.value().url
    }

    /// Whether `sharedURL` is the address of a server that ends with this process.
    static var isPrivate: Bool { Self.givenURL == nil }

    private static let givenURL = ProcessInfo.processInfo.environment["LESS_SYNC_TEST_DATABASE_URL"]

    // Owned by the process: every test that uses it awaits it, and the server ends with the process.
    private static let shared = SharedValue("the shared PostgreSQL server") { try await PostgresServer.start() }

    /// `postgres://…`, with a superuser that needs no password.
    package var url: String { "postgres://postgres@127.0.0.1:\(self.port)/postgres" }

    /// Makes and starts a server of its own, for tests that stop it.
    package static func start() async throws -> PostgresServer {
        guard let programs = Self.programs else { throw Failure.programsNotFound }
        // Short, because it holds the socket too: a path of 108 bytes is too long.
        let directory = try Self.makeDirectory()
        let server = PostgresServer(programs: programs, directory: directory, port: try ServerProcess.freePort())
        do {
            try await server.initialize()
            try await server.resume()
        } catch {
            await server.remove()
            throw error
        }
        return server
    }

    private init(programs: String, directory: String, port: Int) {
        self.programs = programs
        self.directory = directory
        self.port = port
    }

    /// Ends the server at once, as a crash would: no checkpoint, connections cut. Its data stays.
    package func crash() async { await self.stop(saying: ServerProcess.keepWord) }

    /// Starts the server after `crash()`, with the same data at the same address.
    package func resume() async throws {
        let arguments = [
            self.programs + "/postgres", "-D", self.directory + "/data", "-p", "\(self.port)",
            "-k", self.directory, "-c", "listen_addresses=127.0.0.1", "-c", "shared_buffers=32MB",
            "-c", "max_connections=400", "-c", "log_min_messages=fatal",
        ]
        let process = try ServerProcess.start(Self.unprivileged(arguments), directory: self.directory)
        self.process.withLock { $0 = process }
        try await self.waitUntilReady()
    }

    /// Ends the server and removes its data.
    package func remove() async {
        await self.stop(saying: "")
        try? FileManager.default.removeItem(atPath: self.directory)
    }

    private func stop(saying word: String) async {
        guard let process = self.process.withLock({ $0.take() }) else { return }
        await process.stop(saying: word)
    }

    private func initialize() async throws {
        try await ChildProcess.run(
            Self.unprivileged([
                self.programs + "/initdb", "-D", self.directory + "/data", "-U", "postgres", "-A", "trust",
                "--no-sync", "--no-locale", "-E", "UTF8",
            ]), within: Self.initializationLimit)
    }

    private func waitUntilReady() async throws {
        let command = [self.programs + "/pg_isready", "-q", "-h", "127.0.0.1", "-p", "\(self.port)"]
        do {
            try await eventually("PostgreSQL accepts connections", within: Self.startLimit) {
                (try? await ChildProcess.run(command, within: Self.startLimit)) != nil
            }
        } catch is ConditionNotMet {
            let log = (try? String(contentsOfFile: self.directory + "/log", encoding: .utf8)) ?? ""
            throw Failure.notReady(log: log)
        }
    }
}

extension PostgresServer {
    /// Owned by the user that the server runs as.
    private static func makeDirectory() throws -> String {
        let path = "/tmp/less-sync-pg-" + String(UInt32.random(in: 0...UInt32.max), radix: 36)
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        if getuid() == 0, let user = getpwnam("postgres") {
            guard chown(path, user.pointee.pw_uid, user.pointee.pw_gid) == 0 else {
                throw Failure.noDirectory(path: path, errno: errno)
            }
        }
        return path
    }

    private static func unprivileged(_ command: [String]) -> [String] {
        guard getuid() == 0 else { return command }
        return ["/usr/bin/setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"] + command
    }
}
