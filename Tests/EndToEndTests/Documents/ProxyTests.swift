import Foundation
import Glibc
import NIOCore
import SyncAuth
import SyncClient
import SyncProtocol
import SyncTesting
import Testing

/// The configuration of nginx that docs/operations.md shows.
@Suite(
    "Behind nginx, end to end", .timeLimit(.minutes(2)),
    .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/sbin/nginx"), "nginx is not installed"))
struct ProxyTests {
    /// Runs `body` with the port of an nginx before the server at `target`.
    private static func withProxy(to target: Int, _ body: (Int) async throws -> Void) async throws {
        let blocks = try DocumentBlock.blocks(of: "docs/operations.md")
        let shown = try #require(blocks.first { $0.language == "nginx" }).text
        let port = try ServerProcess.freePort()
        let tls = shown.split(separator: "\n").filter { $0.contains("ssl") }
        #expect(tls.count == 3)
        var configuration = shown.replacing("listen 443 ssl;", with: "listen 127.0.0.1:\(port);")
            .replacing("http://127.0.0.1:5379;", with: "http://127.0.0.1:\(target);")
        for line in tls where line.contains("ssl_certificate") {
            configuration = configuration.replacing(line + "\n", with: "")
        }
        try await withTemporaryDirectory { directory in
            let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map {
                "\($0)_temp_path \(directory)/\($0);"
            }
            try """
            daemon off;
            pid \(directory)/nginx.pid;
            error_log \(directory)/error.log;
            events {}
            http {
            access_log off;
            \(places.joined(separator: "\n"))
            \(configuration)
            }
            """.write(toFile: directory + "/nginx.conf", atomically: true, encoding: .utf8)
            let nginx = try Program(
                ["-p", directory, "-e", directory + "/error.log", "-c", directory + "/nginx.conf"],
                executable: "/usr/sbin/nginx")
            try? await eventually("nginx listens") {
                let hasEnded = !nginx.isRunning
                let answer = try? await FileClient(port: port, token: "", space: .random())
                    .request("GET", "/health", [])
                return answer?.status == 200 || hasEnded
            }
            #expect(nginx.isRunning, "\(nginx.standardError)")
            let result: Result<Void, any Error>
            do { result = .success(try await body(port)) } catch { result = .failure(error) }
            nginx.send(SIGTERM)
            _ = try await nginx.waitUntilExit()
            try result.get()
        }
    }

    @Test("WebSockets, 20 MiB up and down, resumable uploads, long headers and preflights pass")
    func everything() async throws {
        try await FileSetting(backend: .sqlite, store: .local).withServer(fileBytesMax: 32 << 20) { server in
            try await Self.withProxy(to: server.server.port) { port in
                let user = Principal.fileUser()
                let token = server.server.tokens.issue(user)
                let space = try #require(user.personalSpace)
                let url = "ws://127.0.0.1:\(port)/api/v1/ws"
                let device = try await SyncClient.connect(to: url, token: token)
                let other = try await SyncClient.connect(to: url, token: token)
                _ = try await other.subscribe([.init(id: space.wireText)])
                let push = PushParams(space: space.wireText, changes: [.large(1, bytes: 3 << 20)])
                #expect(try await device.push(push) == .accepted(cursor: 1))
                let event = try await within(.seconds(20), "a notification") { await other.nextEvent() }
                guard case .sync(let sync) = event else { throw ConditionNotMet(what: "a sync notification") }
                #expect(sync.cursor == 1)

                var files = FileClient(port: port, token: token, space: space)
                let file = FileID.random()
                let bytes = ByteBuffer.pattern(20 << 20)
                #expect(try await files.put(file, bytes).status == 201)
                let read = try await files.get(file)
                #expect(read.status == 200 && read.body == bytes)
                let part = try await files.get(file, ("Range", "bytes=1000-1999"))
                #expect(part.status == 206 && part.body == bytes.getSlice(at: 1_000, length: 1_000))

                let created = try await files.createUpload(.random(), length: 2_000)
                let upload = try #require(created.headers["location"])
                #expect(upload.hasPrefix("/"))
                #expect(try await files.append(upload, .pattern(2_000), 0..<2_000, completes: true).status == 201)

                files.ucan = String(repeating: "x", count: 65_537)
                let long = try await files.get(file)
                #expect(long.status == 401 && long.message == "X-UCAN header too large")
                let preflight = try await files.request(
                    "OPTIONS", files.path(file),
                    [("Origin", "https://app.example.com"), ("Access-Control-Request-Method", "PUT")])
                #expect((200...204).contains(preflight.status))
                #expect(preflight.headers["access-control-allow-methods"]?.contains("PUT") == true)
                await device.close()
                await other.close()
            }
        }
    }
}
