import Logging
import ServiceLifecycle
import SyncAuth
import SyncClient
import SyncCore
import SyncProtocol
import SyncServer
import SyncStorage
import SyncTesting

/// A whole server in this process, on a port of its own, whose tokens a test makes up.
struct InProcessServer {
    var configuration: ServerConfiguration
    var parts: Server.Parts
    let tokens = StaticTokens()
    /// Says nothing unless a test wants to read it.
    var logger = Logger(label: "test")

    init(_ database: TestDatabaseURL, change: (inout ServerConfiguration) -> Void = { _ in }) throws {
        var configuration = ServerConfiguration()
        configuration.listenAddress = ListenAddress(host: "127.0.0.1", port: 0)
        configuration.database = try DatabaseLocation(database.url)
        // Power does not fail during tests, and they run faster so.
        configuration.sqliteSynchronous = .normal
        change(&configuration)
        self.configuration = configuration
        self.parts = Server.Parts(configuration)
        self.parts.tokens = self.tokens
        // A client authenticates as soon as its task gets to run.
        self.parts.engine.authTimeout = .seconds(60)
        self.logger.logLevel = .critical
    }

    /// A server that runs, as a test sees it.
    struct Running: Sendable {
        let server: Server
        let port: Int
        let tokens: StaticTokens
        let group: ServiceGroup

        var url: String { "ws://127.0.0.1:\(self.port)/api/v1/ws" }

        func shutDown() async { await self.group.triggerGracefulShutdown() }

        /// A device of `user`, connected and on its way to be authenticated. The caller closes it.
        func connect(as user: Principal, timeout: Duration = .seconds(30)) async throws -> SyncClient {
            var configuration = SyncClient.Configuration()
            configuration.requestTimeout = timeout
            return try await SyncClient.connect(to: self.url, token: self.tokens.issue(user), configuration)
        }

        func withClient<Result: Sendable>(
            _ user: Principal, _ body: (SyncClient) async throws -> Result
        ) async throws -> Result {
            let client = try await self.connect(as: user)
            let result = await Self.result { try await body(client) }
            await client.close()
            return try result.get()
        }

        func wire(_ family: ProtocolFamily = .less) async throws -> WireClient {
            try await WireClient.connect(to: self.url, offering: [family.subprotocol])
        }

        /// A wire client that has sent a token of `user`.
        func wire(as user: Principal) async throws -> WireClient {
            let client = try await self.wire()
            client.send(FrameEncoder.auth(token: self.tokens.issue(user)))
            return client
        }

        private static func result<Value>(_ body: () async throws -> Value) async -> Swift.Result<Value, any Error> {
            do { return .success(try await body()) } catch { return .failure(error) }
        }
    }

    /// Runs the server while `body` runs; it has ended by itself, or been shut down, when this returns.
    func run(_ body: (Running) async throws -> Void) async throws {
        let (ports, listening) = AsyncStream.makeStream(of: Int.self)
        let server = try await Server.open(
            self.configuration, self.parts, logger: self.logger, onListening: { listening.yield($0.port) })
        let group = server.makeServiceGroup()
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                defer { listening.finish() }
                try await group.run()
            }
            for await port in ports {
                do {
                    try await body(Running(server: server, port: port, tokens: self.tokens, group: group))
                } catch {
                    tasks.cancelAll()
                    throw error
                }
                break
            }
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }
}

extension TestBackend {
    /// Runs a server on a new database.
    func withServer(
        _ change: (inout InProcessServer) -> Void = { _ in }, _ body: (InProcessServer.Running) async throws -> Void
    ) async throws {
        try await TestDatabaseURL.with(self) { database in
            var server = try InProcessServer(database)
            change(&server)
            try await server.run(body)
        }
    }
}
