import AsyncHTTPClient
import Glibc
import NIOCore
import NIOHTTP1
import SyncClient
import SyncProtocol
import SyncTesting
import SyncTransport
import Testing

/// Whoever collects the log may stop to read it (docs/contract/operations.md §11).
@Suite("Log that nobody reads, end to end", .timeLimit(.minutes(2)))
struct UnreadLogTests {
    @Test("operations §11: a server whose log nobody reads serves, and ends in time on SIGTERM")
    func serves() async throws {
        try await Self.withUnreadServer { program, port, _, _ async throws in
            #expect(try await Self.health(port) == .ok)
            let begin = ContinuousClock.now
            program.send(SIGTERM)
            #expect(try await program.waitUntilExit() == 0)
            #expect(ContinuousClock.now - begin < .seconds(20))
        }
    }

    @Test("operations §6: a second signal ends such a server at once")
    func secondSignal() async throws {
        try await Self.withUnreadServer { program, port, issuer, _ in
            let client = try await BusyPull.start(port: port, issuer: issuer)
            program.send(SIGTERM)
            try await eventually("no new connection is taken") { (try? await HTTPSocket.connect(port: port)) == nil }
            let begin = ContinuousClock.now
            program.send(SIGTERM)
            #expect(try await program.waitUntilExit() == 1)
            #expect(ContinuousClock.now - begin < .seconds(9))
            client.connection.closeDiscardingQueue(CloseFrame(code: 1_000, reason: ""))
        }
    }

    @Test("operations §11: a reader that comes back gets the lines that waited, up to the last")
    func readAgain() async throws {
        try await Self.withUnreadServer { program, _, _, log in
            try await eventually("the end of every connection is logged") {
                log.readWhatIsThere()
                return log.text.split(separator: "\n").count { $0.contains("connection ended") } == Self.connections
            }
            program.send(SIGTERM)
            try await eventually("the program ends", within: .seconds(40)) {
                log.readWhatIsThere()
                return !program.isRunning
            }
            log.readWhatIsThere()
            #expect(log.text.hasSuffix("}\n"))
            #expect(log.text.contains(#""step":"storage""#))
            #expect(!log.text.contains("log lines dropped"))
        }
    }

    /// Each leaves a line of more than 100 bytes, which is more than fits into the pipe.
    private static let connections = 100

    /// Runs `body` with a program whose log has been read up to its start, and is full since.
    private static func withUnreadServer(
        _ body: (Program, Int, TestIssuerServer, LogPipe) async throws -> Void
    ) async throws {
        try await TestDatabaseURL.with(.sqlite) { database in
            try await TestIssuerServer.run { issuer in
                let log = try LogPipe()
                let program = try log.start(
                    ["serve", "--trusted-issuers", issuer.issuer, "--database-url", database.url],
                    environment: ["LOG_FORMAT": "json", "LOG_LEVEL": "debug", "LISTEN_ADDR": "127.0.0.1:0"])
                let line = try await log.read(until: #""message":"server listening""#)
                let address = try #require(line.firstRange(of: #""addr":""#)?.upperBound)
                let port = try #require(
                    line[address...].prefix { $0 != "\"" }.split(separator: ":").last.flatMap { Int($0) })
                for _ in 0..<Self.connections {
                    try await within(.seconds(20), "a connection is served") {
                        let url = "http://127.0.0.1:\(port)/api/v1/ws"
                        let client = try await WireClient.connect(to: url, offering: ["less-rpc-v1"])
                        client.connection.close(CloseFrame(code: 1_000, reason: ""))
                        _ = await client.closeFrame()
                    }
                }
                try await body(program, port, issuer, log)
            }
        }
    }

    private static func health(_ port: Int) async throws -> HTTPResponseStatus {
        let request = HTTPClientRequest(url: "http://127.0.0.1:\(port)/health")
        return try await HTTPClient.shared.execute(request, timeout: .seconds(10)).status
    }
}
