import Foundation
import Logging
import ServiceLifecycle
import SyncAuth
import SyncClient
import SyncProtocol
import SyncStorage
import SyncTesting
import Synchronization
import Testing

@testable import SyncServer

@Suite("Metrics of a whole server", .timeLimit(.minutes(5)))
struct MetricsServerTests {
    private static let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private struct Running {
        var port = 0
        var metricsPort: Int?

        func get(_ path: String, port: Int, _ headers: String = "") async throws -> RawResponse {
            let socket = try await RawSocket.connect(port: port)
            try await socket.send("GET \(path) HTTP/1.1\r\nHost: x\r\n\(headers)Connection: close\r\n\r\n")
            let response = await socket.response()
            await socket.close()
            return response
        }

        func metrics() async throws -> [String] {
            let response = try await self.get("/metrics", port: self.metricsPort ?? 0)
            #expect(response.status == 200)
            #expect(response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8")
            return response.body.split(separator: "\n").map(String.init)
        }
    }

    /// Runs a server with an issuer of its own while `body` runs.
    private func withServer(
        _ change: (inout ServerConfiguration) -> Void = { _ in },
        _ body: @escaping @Sendable (Running, DevIssuer) async throws -> Void
    ) async throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "less-sync-metrics-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        var configuration = ServerConfiguration()
        configuration.listenAddress = ListenAddress(host: "127.0.0.1", port: 0)
        configuration.database = .sqlite(path: directory + "/a.db")
        configuration.metricsAddress = ListenAddress(host: "127.0.0.1", port: 0)
        change(&configuration)
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let issuer = try DevIssuer(directory: directory)
        let (ports, bound) = AsyncStream.makeStream(of: (isMetrics: Bool, port: Int).self)
        var parts = Server.Parts(configuration)
        parts.devIssuer = issuer
        parts.logLinesDropped = { 7 }
        parts.onMetricsListening = { bound.yield((true, $0.port)) }
        let server = try await Server.open(configuration, parts, logger: Self.silent) { bound.yield((false, $0.port)) }
        let group = server.makeServiceGroup()
        let hasMetrics = configuration.metricsAddress != nil
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            var running = Running()
            for await (isMetrics, port) in ports {
                if isMetrics { running.metricsPort = port } else { running.port = port }
                if running.port != 0, !hasMetrics || running.metricsPort != nil { break }
            }
            try await body(running, issuer)
            await group.triggerGracefulShutdown()
            try await tasks.next()
        }
    }

    @Test("OX1, OX3, OX5: requests, connections and records are counted; a rejected push adds none")
    func traffic() async throws {
        try await self.withServer { server, issuer in
            let token = try issuer.issueToken(DevTokenRequest(user: "alice"))
            let client = try await SyncClient.connect(
                to: "ws://127.0.0.1:\(server.port)/api/v1/ws", token: token.token)
            _ = try await client.subscribe([SubscribeParams.Entry(id: token.personalSpaceID)])
            let changes = (1...3).map { PushParams.Change.fixture($0) }
            for _ in 1...2 { _ = try await client.push(PushParams(space: token.personalSpaceID, changes: changes)) }
            let during = try await server.metrics()
            for line in [
                #"ws_connections{kind="client"} 1"#, "broker_spaces_watched 1", "storage_push_records_total 3",
                "storage_pushes_total 2", "storage_commit_pushes_sum 2", "storage_pool_size 10",
                "log_lines_dropped_total 7", #"rpc_duration_ms_count{method="push"} 2"#,
                "build_info{version=\"\(Version.current)\"} 1",
            ] {
                #expect(during.contains(line), "\(line)")
            }
            await client.close()
            var after = try await server.metrics()
            while !after.contains(#"ws_connections{kind="client"} 0"#) { after = try await server.metrics() }
            #expect(after.contains("broker_spaces_watched 0"))
            for secret in [token.personalSpaceID, "alice", token.token] {
                #expect(!after.contains { $0.contains(secret) })
            }
        }
    }

    @Test("OX2: without an address there is no listener for metrics, and the public one has none")
    func off() async throws {
        try await self.withServer({ $0.metricsAddress = nil }) { server, _ in
            let response = try await server.get("/metrics", port: server.port)
            #expect(response.status == 401)
            #expect(server.metricsPort == nil)
        }
    }

    @Test("HTTP requests are counted by route template, and refused tokens by reason")
    func http() async throws {
        try await self.withServer { server, _ in
            for path in ["/health", "/health", "/nothing/of/the/sort"] {
                _ = try await server.get(path, port: server.port)
            }
            for value in ["Bearer rubbish", "Bearer ", "Basic x"] {
                _ = try await server.get("/x", port: server.port, "Authorization: \(value)\r\n")
            }
            let lines = try await server.metrics()
            for line in [
                #"http_requests_total{method="GET",route="/health",status="200"} 2"#,
                #"http_requests_total{method="GET",route="unknown",status="401"} 4"#,
                #"http_request_duration_seconds_count{method="GET",route="/health",status="200"} 2"#,
                #"auth_failures_total{reason="invalid"} 2"#, #"auth_failures_total{reason="missing"} 2"#,
            ] {
                #expect(lines.contains(line), "\(line)")
            }
            for path in ["/health", "/metrics/", "//metrics", "/Metrics", "/metrics/x"] {
                #expect(try await server.get(path, port: server.metricsPort ?? 0).status == 404, "\(path)")
            }
            #expect(try await server.get("/metrics?x=1", port: server.metricsPort ?? 0).status == 200)
        }
    }

    @Test("HG1: health says more when it is told to, and nothing more otherwise")
    func details() async throws {
        try await self.withServer({ $0.hasHealthDetails = true }) { server, _ in
            let response = try await server.get("/health", port: server.port)
            #expect(response.body.hasPrefix(#"{"broker":{"spaces":0,"subscribers":0},"status":"healthy","#))
            #expect(response.body.contains(#""storage":{"backend":"sqlite","pool_in_use":"#))
            #expect(response.body.hasSuffix(#","pool_size":10}}"#))
        }
        try await self.withServer { server, _ in
            let response = try await server.get("/health", port: server.port)
            #expect(response.body == #"{"status":"healthy"}"#)
        }
    }

    @Test("Jobs are counted by outcome")
    func jobs() async {
        let registry = MetricsRegistry()
        let clock = TestClock()
        let runs = Mutex(0)
        let job = PeriodicJob(name: "test", interval: .seconds(10), clock: clock, logger: Self.silent) {
            let run = runs.withLock { runs in
                runs += 1
                return runs
            }
            if run == 2 { throw StorageError.unavailable }
        }.counted(by: registry)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await job.run() }
            for _ in 1...3 {
                await clock.waitForSleepers(1)
                clock.advance(by: .seconds(11))
            }
            await clock.waitForSleepers(1)
            group.cancelAll()
        }
        let text = registry.exposition()
        #expect(text.contains(#"job_runs_total{job="test",outcome="success"} 2"#))
        #expect(text.contains(#"job_runs_total{job="test",outcome="failure"} 1"#))
    }
}
