import Hummingbird
import SyncAuth
import Testing

@testable import SyncServer

@Suite("HTTP application", .timeLimit(.minutes(5)))
struct HTTPApplicationTests {
    private static let notFoundStore: @Sendable () async throws -> Void = { throw CancellationError() }

    private func expectCommonHeaders(_ response: RawResponse, _ location: SourceLocation = #_sourceLocation) {
        #expect(response.headers["x-protocol-version"] == "1", sourceLocation: location)
        #expect(response.headers["access-control-allow-origin"] == "*", sourceLocation: location)
        #expect(
            response.headers["access-control-allow-methods"] == "GET, PUT, HEAD, POST, OPTIONS",
            sourceLocation: location)
        #expect(
            response.headers["access-control-allow-headers"]
                == "Content-Type, Content-Length, Authorization, X-UCAN, X-Wrapped-DEK, X-Record-ID",
            sourceLocation: location)
        #expect(response.headers["access-control-expose-headers"] == "X-Wrapped-DEK", sourceLocation: location)
        #expect(response.headers["access-control-max-age"] == "86400", sourceLocation: location)
        #expect(response.headers["vary"] == nil, sourceLocation: location)
        #expect(response.headers["www-authenticate"] == nil, sourceLocation: location)
    }

    @Test("HG1: a healthy store")
    func healthy() async throws {
        try await HTTPTestServer().run { server in
            let response = try await server.request("GET", "/health")
            #expect(response.status == 200)
            #expect(response.body == #"{"status":"healthy"}"#)
            #expect(response.headers["content-type"] == "application/json")
            #expect(try await server.request("GET", "/health?verbose=1").status == 200)
        }
    }

    @Test("HG2: a failing store")
    func unhealthy() async throws {
        try await HTTPTestServer(ping: Self.notFoundStore).run { server in
            let response = try await server.request("GET", "/health")
            #expect(response.status == 503)
            #expect(response.body == #"{"status":"unhealthy","error":"database unavailable"}"#)
        }
    }

    @Test("HG4, HG14: success, errors, 101, 404, 405 and unreadable requests carry the common headers")
    func commonHeaders() async throws {
        try await HTTPTestServer().run { server in
            for response in [
                try await server.request("GET", "/health"),
                try await server.request("GET", "/none"),
                try await server.request("GET", "/none", "Authorization: Bearer good"),
                try await server.request("POST", "/health"),
                try await server.request("OPTIONS", "/none"),
                try await server.upgrade(),
                try await server.upgrade("wrong-protocol"),
                try await server.exchange("NONSENSE\r\n\r\n"),
            ] {
                expectCommonHeaders(response)
            }
        }
    }

    @Test(
        "HG5, HG6: preflight of any path is 204 without credentials", arguments: ["/api/v1/ws", "/no/such/path", "*"])
    func preflight(path: String) async throws {
        try await HTTPTestServer(tokens: nil).run { server in
            let response = try await server.request("OPTIONS", path)
            #expect(response.status == 204)
            #expect(response.body.isEmpty)
            expectCommonHeaders(response)
        }
    }

    @Test("HG7: an unknown path is 401 without and with a bad token, 404 with a valid one")
    func unknownPath() async throws {
        try await HTTPTestServer().run { server in
            #expect(try await server.request("GET", "/api/v1/none").status == 401)
            #expect(try await server.request("GET", "/api/v1/none", "Authorization: Bearer bad").status == 401)
            let response = try await server.request("GET", "/api/v1/none", "Authorization: Bearer good")
            #expect(response.status == 404)
            #expect(response.body.isEmpty)
        }
    }

    static let refused: [(header: String?, message: String)] = [
        (nil, "missing authorization"),
        ("Basic x", "invalid authorization header format"), ("bearer x", "invalid authorization header format"),
        ("Bearer", "invalid authorization header format"), ("Bearer ", "invalid authorization header format"),
        ("Bearer\tgood", "invalid authorization header format"), ("Bearer gööd", "invalid authorization header format"),
        ("Bearer  good", "invalid token"), ("Bearer bad", "invalid token"), ("Bearer expired", "token has expired"),
        ("Bearer stranger", "untrusted token issuer"),
    ]

    @Test("HG8, HG9, C20: every refusal has its message", arguments: refused)
    func refusals(header: String?, message: String) async throws {
        try await HTTPTestServer().run { server in
            let line = header.map { "Authorization: \($0)" } ?? "Accept: */*"
            let response = try await server.request("GET", "/api/v1/x", line)
            #expect(response.status == 401)
            #expect(response.body == "{\"error\":\"\(message)\"}")
            #expect(response.headers["content-type"] == "application/json")
            expectCommonHeaders(response)
        }
    }

    @Test("only the first Authorization header counts")
    func twoHeaders() async throws {
        try await HTTPTestServer().run { server in
            let good = "Authorization: Bearer good"
            let bad = "Authorization: Bearer bad"
            let first = try await server.request("GET", "/x", good, bad)
            #expect(first.status == 404)
            #expect(try await server.request("GET", "/x", bad, good).status == 401)
        }
    }

    @Test("HG10, HG11: X-UCAN of 65,536 bytes passes, one more is 401 after the token's own fault")
    func largeUCAN() async throws {
        try await HTTPTestServer().run { server in
            let exact = "X-UCAN: " + String(repeating: "u", count: 65_536)
            let good = "Authorization: Bearer good"
            #expect(try await server.request("GET", "/x", good, exact).status == 404)
            let refused = try await server.request("GET", "/x", good, exact + "u")
            #expect(refused.status == 401)
            #expect(refused.body == #"{"error":"X-UCAN header too large"}"#)
            let bad = try await server.request("GET", "/x", "Authorization: Bearer bad", exact + "u")
            #expect(bad.body == #"{"error":"invalid token"}"#)
        }
    }

    @Test("headers above the listener's limit are 431, a target above 8 KiB is 414")
    func headLimits() async throws {
        try await HTTPTestServer().run { server in
            let large = try await server.request("GET", "/health", "X-Large: " + String(repeating: "x", count: 140_000))
            #expect(large.status == 431)
            expectCommonHeaders(large)
            let long = try await server.request("GET", "/" + String(repeating: "x", count: 8_192))
            #expect(long.status == 414)
        }
    }

    @Test("HG12: no validator: 500 on a path that is not public")
    func noValidator() async throws {
        try await HTTPTestServer(tokens: nil).run { server in
            let response = try await server.request("GET", "/x", "Authorization: Bearer good")
            #expect(response.status == 500)
            #expect(response.body == #"{"error":"auth validator is not configured"}"#)
            #expect(try await server.request("GET", "/health").status == 200)
        }
    }

    @Test("HG13: the wrong method is 405 with Allow and no body; HEAD has no body")
    func methods() async throws {
        try await HTTPTestServer().run { server in
            for (method, path, allowed) in [
                ("POST", "/health", "GET, HEAD"), ("DELETE", "/health", "GET, HEAD"), ("BREW", "/health", "GET, HEAD"),
                ("get", "/health?x=1", "GET, HEAD"), ("FOO", "/api/v1/ws", "GET"),
                ("POST", "/api/v1/ws", "GET"), ("PUT", "/api/v1/federation/ws", "GET"),
            ] {
                let response = try await server.request(method, path)
                #expect(response.status == 405)
                #expect(response.headers["allow"] == allowed)
                #expect(response.body.isEmpty)
                expectCommonHeaders(response)
            }
            let unknown = try await server.request("FOO", "/nowhere")
            #expect(unknown.status == 404)
            #expect(unknown.headers["connection"] == "close")
            for line in ["FOO", "FOO /health", "F(O /health HTTP/1.1", "FOO health HTTP/1.1", "\u{16}\u{3}\u{1}"] {
                #expect(try await server.exchange(line + "\r\n\r\n").status == 400, "\(line)")
            }
            let socket = try await RawSocket.connect(port: server.port)
            try await socket.send("HEAD /health HTTP/1.1\r\nConnection: close\r\n\r\n")
            let text = String(buffer: await socket.wait())
            #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n"))
            #expect(text.hasSuffix("\r\n\r\n"))
            #expect(text.contains("Content-Length: 20\r\n") || text.contains("content-length: 20\r\n"))
        }
    }

    @Test(
        "RFC 9112 §6.1: a body whose end cannot be known is 400, one in a coding we do not know 501, and the connection ends",
        arguments: [
            ("gzip", 400), ("identity", 400), ("chunked, gzip", 400), ("rubbish", 400), ("gzip, chunked", 501),
        ])
    func transferCodings(codings: String, status: Int) async throws {
        try await HTTPTestServer().run { server in
            let socket = try await RawSocket.connect(port: server.port)
            try await socket.send(
                "POST /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \(codings)\r\n\r\n2\r\nab\r\n0\r\n\r\n")
            let response = await socket.response()
            #expect(response.status == status)
            #expect(response.headers["connection"] == "close")
            expectCommonHeaders(response)
            // And nothing else.
            #expect(await socket.wait().readableBytes == 0)
            await socket.close()
        }
    }

    @Test("C25, http §2, §8: routes of federation while it is off")
    func federationOff() async throws {
        try await HTTPTestServer().run { server in
            let challenge = "/api/v1/federation/challenge"
            let posted = try await server.request("POST", challenge)
            #expect(posted.status == 404)
            #expect(posted.body.isEmpty)
            let read = try await server.request("GET", challenge)
            #expect(read.status == 405)
            #expect(read.headers["allow"] == "POST")
            for path in ["/api/v1/federation/trusted", "/api/v1/federation/status/b.example"] {
                #expect(try await server.request("GET", path).status == 401)
                #expect(try await server.request("POST", path).status == 401)
                let asked = try await server.request("GET", path, "Authorization: Bearer good")
                #expect(asked.status == 404)
                #expect(asked.body.isEmpty)
                let wrong = try await server.request("POST", path, "Authorization: Bearer good")
                #expect(wrong.status == 405)
                #expect(wrong.headers["allow"] == "GET, HEAD")
                #expect(wrong.body.isEmpty)
            }
        }
    }

    @Test("paths are compared exactly", arguments: ["/health/", "//health", "/Health", "/health/x"])
    func exactPaths(path: String) async throws {
        try await HTTPTestServer().run { server in
            let anonymous = try await server.request("GET", path)
            #expect(anonymous.status == 401)
            #expect(try await server.request("GET", path, "Authorization: Bearer good").status == 404)
        }
    }

    @Test("The process is alive and ready; without the database it is alive and not ready")
    func probes() async throws {
        struct Away: Error {}
        try await HTTPTestServer().run { server in
            let ready = try await server.request("GET", "/readyz")
            #expect(ready.status == 200)
            #expect(ready.body == #"{"status":"ready"}"#)
            let alive = try await server.request("GET", "/livez")
            #expect(alive.status == 200)
            #expect(alive.body == #"{"status":"alive"}"#)
        }
        try await HTTPTestServer(ping: { throw Away() }).run { server in
            let ready = try await server.request("GET", "/readyz")
            #expect(ready.status == 503)
            #expect(ready.body == #"{"status":"not ready","error":"database unavailable"}"#)
            let alive = try await server.request("GET", "/livez")
            #expect(alive.status == 200)
        }
    }

    @Test("A server that shuts down is not ready any more")
    func unreadyAtShutdown() async throws {
        try await HTTPTestServer().run { server in
            server.application.beginShutdown()
            let ready = try await server.request("GET", "/readyz")
            #expect(ready.status == 503)
            #expect(ready.body == #"{"status":"not ready","error":"shutting down"}"#)
        }
    }

    @Test("HF1: the key set is public and empty")
    func keySet() async throws {
        try await HTTPTestServer(extraRoutes: [PublishedKeySet().route]).run { server in
            let response = try await server.request("GET", "/.well-known/jwks.json")
            #expect(response.status == 200)
            #expect(response.body == #"{"keys":[]}"#)
            #expect(response.headers["cache-control"] == "public, max-age=3600, stale-while-revalidate=86400")
        }
    }

    @Test("extra routes: public ones, private ones, failures and bodies")
    func extraRoutes() async throws {
        let routes = [
            HTTPRoute([.post], "/dev/token", isPublic: true) { request, _ in
                let body = try await request.body.collect(upTo: 65_536)
                return Response(status: .ok, body: .init(byteBuffer: body))
            },
            HTTPRoute([.get, .head], "/things/{id}") { _, context in
                guard context.parameters.get("id") == "1" else { throw HTTPFailure(.badRequest, "bad \"id\"") }
                return .json(["user": context.principal?.userID ?? ""])
            },
            HTTPRoute([.put], "/things/{id}") { _, _ in throw CancellationError() },
        ]
        try await HTTPTestServer(extraRoutes: routes).run { server in
            let post = "POST /dev/token HTTP/1.1\r\nHost: x\r\nContent-Length: "
            #expect(try await server.exchange(post + "5\r\n\r\nhello").body == "hello")
            let full = String(repeating: "x", count: 65_536)
            #expect(try await server.exchange(post + "65536\r\n\r\n" + full).status == 200)
            let large = try await server.exchange(post + "65537\r\n\r\n" + full + "x")
            #expect(large.status == 413)
            #expect(large.headers["connection"] == "close")
            let good = "Authorization: Bearer good"
            #expect(try await server.request("GET", "/things/1").status == 401)
            #expect(try await server.request("GET", "/things/1", good).body == #"{"user":"u"}"#)
            #expect(try await server.request("GET", "/things/2", good).body == #"{"error":"bad \"id\""}"#)
            #expect(try await server.request("GET", "/things/", good).status == 404)
            let wrong = try await server.request("DELETE", "/things/1", good)
            #expect(wrong.headers["allow"] == "GET, HEAD, PUT")
            let failed = try await server.request("PUT", "/things/1", good)
            #expect(failed.status == 500)
            #expect(failed.body == #"{"error":"internal error"}"#)
        }
    }

    @Test("Δ-H2: while shutting down /health and upgrades are 503 and responses end their connections")
    func shuttingDown() async throws {
        try await HTTPTestServer().run { server in
            let socket = try await RawSocket.connect(port: server.port)
            try await socket.send("GET /health HTTP/1.1\r\n\r\n")
            let before = await socket.response()
            #expect(before.status == 200)
            #expect(before.headers["connection"] == nil)
            server.application.beginShutdown()
            try await socket.send("GET /health HTTP/1.1\r\n\r\n")
            let after = await socket.response()
            #expect(after.status == 503)
            #expect(after.body == #"{"status":"unhealthy","error":"shutting down"}"#)
            #expect(after.headers["connection"] == "close")
            await socket.wait()
            let upgrade = try await server.upgrade()
            #expect(upgrade.status == 503)
            #expect(upgrade.body.isEmpty)
        }
    }
}
