import Logging
import NIOCore
import SyncAuth
import SyncProtocol
import Synchronization

@testable import SyncServer

/// Tokens that are their own outcome.
struct StubTokens: TokenValidator {
    func validate(_ token: String) async throws(TokenError) -> Principal {
        switch token {
        case "good": return Principal(issuer: "https://issuer", userID: "u", clientID: "c", scopes: ["sync"])
        case "expired": throw .expired
        case "stranger": throw .untrustedIssuer
        case "": throw .missing
        default: throw .invalid
        }
    }
}

/// A whole HTTP application on a port of its own.
struct HTTPTestServer {
    var configuration = HTTPServerConfiguration(address: ListenAddress(host: "127.0.0.1", port: 0))
    var tokens: (any TokenValidator)? = StubTokens()
    var extraRoutes: [HTTPRoute] = []
    var clock: any Clock<Duration> = ContinuousClock()
    var ping: @Sendable () async throws -> Void = {}
    /// Echoes; says that the token was accepted when it reads `auth`.
    var serve: WebSocketService = { connection, _, onAuthenticated in
        while case .binary(let message) = await connection.receive() {
            if message == ByteBuffer(string: "auth") { onAuthenticated() }
            connection.enqueue(message)
        }
        connection.closeEcho()
    }

    /// What a test sees of it.
    struct Running {
        let application: HTTPApplication
        let port: Int

        func exchange(_ request: String) async throws -> RawResponse {
            let socket = try await RawSocket.connect(port: self.port)
            try await socket.send(request)
            let response = await socket.response()
            await socket.close()
            return response
        }

        /// - Parameter headers: complete lines without their ends.
        func request(_ method: String, _ path: String, _ headers: String...) async throws -> RawResponse {
            try await self.exchange(
                (["\(method) \(path) HTTP/1.1", "Host: x"] + headers).joined(separator: "\r\n") + "\r\n\r\n")
        }

        func upgrade(_ protocols: String? = "less-rpc-v1", path: String = "/api/v1/ws") async throws -> RawResponse {
            try await self.exchange(Self.upgrade(protocols, path: path))
        }

        static func upgrade(_ protocols: String? = "less-rpc-v1", path: String = "/api/v1/ws") -> String {
            let offer = protocols.map { "Sec-WebSocket-Protocol: \($0)\r\n" } ?? ""
            return "GET \(path) HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\(offer)"
                + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        }

        var url: String { "ws://127.0.0.1:\(self.port)/api/v1/ws" }
    }

    /// Runs the server while `body` runs.
    func run(_ body: (Running) async throws -> Void) async throws {
        let (ports, continuation) = AsyncStream.makeStream(of: Int.self)
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let application = HTTPApplication(
            configuration: self.configuration, tokens: self.tokens, extraRoutes: self.extraRoutes, clock: self.clock,
            logger: logger, ping: self.ping, onListening: { continuation.yield($0.port) }, serve: self.serve)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await application.run() }
            var port = 0
            for await value in ports {
                port = value
                break
            }
            try await body(Running(application: application, port: port))
            group.cancelAll()
        }
    }
}
