import NIOCore
import SyncAuth
import SyncClient
import SyncProtocol
import SyncTesting
import Testing

/// docs/contract/http.md §9.1 and the checks of §9.2, each in its place.
@Suite("Checks of file requests", .timeLimit(.minutes(5)))
struct FileCheckTests {
    private static let methods = ["PUT", "GET", "HEAD"]

    private func request(
        _ files: FileClient, _ method: String, _ path: String, ucan: String? = nil
    ) async throws -> HTTPAnswer {
        let headers = files.uploadHeaders(1) + (ucan.map { [("X-UCAN", $0)] } ?? [])
        return try await files.request(method, path, headers, ByteBuffer(string: "x"))
    }

    /// The body of an answer to HEAD is never there.
    private func expect(
        _ answer: HTTPAnswer, _ status: Int, _ message: String, _ method: String,
        _ location: SourceLocation = #_sourceLocation
    ) {
        #expect(answer.status == status, sourceLocation: location)
        #expect(method == "HEAD" || answer.message == message, sourceLocation: location)
        #expect(answer.headers["access-control-allow-origin"] == "*", sourceLocation: location)
    }

    @Test("HL1: without file storage every file request is 404", arguments: TestBackend.available)
    func off(on backend: TestBackend) async throws {
        try await backend.withServer { server in
            let files = try server.fileClient(.fileUser())
            for method in Self.methods {
                let answer = try await self.request(files, method, files.path(.random()))
                #expect(answer.status == 404)
                #expect(answer.body.readableBytes == 0)
            }
        }
    }

    @Test("HL4, HG7: the scope `files` is needed, and a token at all", arguments: FileSetting.all)
    func scope(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            let files = try server.client(.fileUser(scopes: ["sync", "filesystem"]))
            for method in Self.methods {
                // Before anything else is looked at.
                for path in [files.path(.random()), "/api/v1/spaces/x/files/y"] {
                    self.expect(try await self.request(files, method, path), 403, "files scope required", method)
                }
                let anonymous = try await files.request(method, files.path(.random()), [])
                self.expect(anonymous, 401, "missing authorization", method)
            }
            // `sync` is not needed.
            let only = try server.client(.fileUser(scopes: ["files"]))
            #expect(try await only.get(.random()).message == "file not found")
        }
    }

    @Test("HL9: malformed ids, that of the space first", arguments: FileSetting.all)
    func ids(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            let files = try server.client(.fileUser())
            let (space, file) = (files.space.wireText, FileID.random().wireText)
            for method in Self.methods {
                for (path, message) in [
                    ("\(space)/files/invalid", "invalid file ID"), ("invalid/files/\(file)", "invalid space ID"),
                    ("x/files/y", "invalid space ID"), ("\(space)/files/\(file)0", "invalid file ID"),
                    ("\(space)/files/%00", "invalid file ID"),
                ] {
                    let answer = try await self.request(files, method, "/api/v1/spaces/" + path)
                    self.expect(answer, 400, message, method)
                }
                let slash = try await self.request(files, method, files.path(.random()) + "/")
                #expect(slash.status == 404)
                #expect(slash.body.readableBytes == 0)
            }
            let wrong = try await self.request(files, "DELETE", files.path(.random()))
            #expect(wrong.status == 405)
            #expect(wrong.headers["allow"] == "PUT, GET, HEAD")
        }
    }

    @Test("HL10: somebody else's personal space is a missing one", arguments: FileSetting.all)
    func foreignSpace(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            try await server.withRecord { files, _ in
                let file = FileID.random()
                try await files.put(file, ByteBuffer(string: "mine"))
                let other = try server.client(.fileUser("bob"), in: files.space)
                let nowhere = try server.client(.fileUser("bob"), in: .random())
                // A delegation changes nothing.
                let ucan = TestDelegation.chain(["alice", "bob"], .write, over: files.space)
                for client in [other, nowhere] {
                    for (method, message) in [
                        ("GET", "file not found"), ("HEAD", ""), ("PUT", "space not found"),
                    ] {
                        for ucan in [nil, ucan] {
                            let answer = try await self.request(client, method, client.path(file), ucan: ucan)
                            self.expect(answer, 404, message, method)
                        }
                    }
                }
            }
        }
    }

    @Test("HL5, HL8: the headers of an upload, in order", arguments: FileSetting.all)
    func uploadHeaders(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            try await server.withRecord { files, _ in
                let record = ("X-Record-ID", RecordID.fixture(1).wireText)
                let dek = ("X-Wrapped-DEK", ByteBuffer.wrappedDEK(epoch: 1).base64)
                let length = ("Content-Length", "1")
                let required = "X-Wrapped-DEK header required"
                let notBase64 = "X-Wrapped-DEK must be valid base64"
                let wrongLength = "X-Wrapped-DEK must decode to exactly 44 bytes"
                let cases: [([(String, String)], String)] = [
                    ([], "X-Record-ID header required"), ([dek, length], "X-Record-ID header required"),
                    ([("X-Record-ID", "rec\u{F6}rd"), dek, length], "X-Record-ID header required"),
                    ([("X-Record-ID", "record"), length], "X-Record-ID must be a valid UUID"),
                    ([("X-Record-ID", ""), dek, length], "X-Record-ID must be a valid UUID"),
                    ([record, length], required), ([record, ("X-Wrapped-DEK", "\u{F6}"), length], required),
                    ([record, ("X-Wrapped-DEK", "not base64!"), length], notBase64),
                    ([record, ("X-Wrapped-DEK", "AAA"), length], notBase64),
                    ([record, ("X-Wrapped-DEK", "AAB="), length], notBase64),
                    ([record, ("X-Wrapped-DEK", "_-8="), length], notBase64),
                    ([record, ("X-Wrapped-DEK", ""), length], wrongLength),
                    ([record, ("X-Wrapped-DEK", ByteBuffer(repeating: 1, count: 43).base64), length], wrongLength),
                    ([record, ("X-Wrapped-DEK", ByteBuffer(repeating: 1, count: 45).base64), length], wrongLength),
                ]
                for (headers, message) in cases {
                    let answer = try await files.request(
                        "PUT", files.path(.random()), files.credentials + headers, ByteBuffer(string: "x"))
                    #expect(answer.status == 400)
                    #expect(answer.message == message, "\(headers)")
                }
                // Any form of the record's id will do.
                let braces = ("X-Record-ID", "{\(RecordID.fixture(1).wireText.uppercased())}")
                let stored = try await files.request(
                    "PUT", files.path(.random()), files.credentials + [braces, dek, length], ByteBuffer(string: "x"))
                #expect(stored.status == 201)
                #expect(try await server.objects.count == 1)
            }
        }
    }

    @Test("HL5–HL8: of several faults the first in the order of the contract counts", arguments: FileSetting.all)
    func order(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            try await server.withRecord { files, _ in
                let unknown = ("X-Record-ID", RecordID.fixture(9).wireText)
                let dek = ("X-Wrapped-DEK", ByteBuffer.wrappedDEK(epoch: 1).base64)
                let tooLong = ("Content-Length", "1048577")
                // Each is right where the one before was wrong, and wrong in everything behind.
                let cases: [([(String, String)], Int, String)] = [
                    ([tooLong], 400, "X-Record-ID header required"),
                    ([("X-Record-ID", "record"), tooLong], 400, "X-Record-ID must be a valid UUID"),
                    ([unknown, tooLong], 400, "X-Wrapped-DEK header required"),
                    ([unknown, ("X-Wrapped-DEK", "AAA"), tooLong], 400, "X-Wrapped-DEK must be valid base64"),
                    (
                        [unknown, ("X-Wrapped-DEK", "AAAA"), tooLong], 400,
                        "X-Wrapped-DEK must decode to exactly 44 bytes"
                    ),
                    ([unknown, dek, ("Transfer-Encoding", "chunked")], 411, "Content-Length required"),
                    ([unknown, dek, tooLong], 413, "file exceeds 1 MB limit"),
                    ([unknown, dek, ("Content-Length", "1")], 400, "record not found in this space"),
                ]
                for (headers, status, message) in cases {
                    let answer = try await files.request(
                        "PUT", files.path(.random()), files.credentials + headers, ByteBuffer(string: "0\r\n\r\n"))
                    #expect(answer.status == status, "\(message)")
                    #expect(answer.message == message)
                }
                // Who may not write here is not told what is wrong with the headers.
                let other = try server.client(.fileUser("bob"), in: files.space)
                let refused = try await other.request(
                    "PUT", other.path(.random()), other.credentials + [("Content-Length", "0")])
                #expect(refused.message == "space not found")
            }
        }
    }

    @Test("HL6: the record has to be one of this space, a deleted one will do", arguments: FileSetting.all)
    func record(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            try await server.withRecord(.fileUser("bob")) { _, bob in
                _ = try await bob.push(
                    PushParams(
                        space: #require(Principal.fileUser("bob").personalSpace).wireText, changes: [.fixture(2)]))
                try await server.withRecord { files, device in
                    for number in [2, 3] {
                        let answer = try await files.put(.random(), ByteBuffer(string: "x"), record: .fixture(number))
                        #expect(answer.status == 400)
                        #expect(answer.message == "record not found in this space")
                    }
                    _ = try await device.push(
                        PushParams(space: files.space.wireText, changes: [.fixture(1, nil, at: 1)]))
                    #expect(try await files.put(.random(), ByteBuffer(string: "x")).status == 201)
                }
            }
        }
    }

    @Test("HL7, HL24, C28: the length is needed, bounded from the header alone, and kept", arguments: FileSetting.all)
    func length(_ setting: FileSetting) async throws {
        try await setting.withServer(fileBytesMax: 2_097_152) { server in
            try await server.withRecord { files, _ in
                let headers = files.uploadHeaders(0).dropLast()
                let chunked = try await files.request(
                    "PUT", files.path(.random()), headers + [("Transfer-Encoding", "chunked")],
                    ByteBuffer(string: "1\r\nx\r\n0\r\n\r\n"))
                #expect(chunked.status == 411)
                #expect(chunked.message == "Content-Length required")

                for length in ["abc", "-1", "+5", "1.5", "5 5", "99999999999999999999999"] {
                    let wrong = try await HTTPSocket.connect(port: files.port)
                    try await wrong.sendHead("PUT", files.path(.random()), headers + [("Content-Length", length)])
                    let answer = try await wrong.response()
                    #expect(answer.status == 400)
                    #expect(answer.message == "invalid Content-Length header")
                    await wrong.close()
                }
                for length in ["2097153", "9223372036854775807"] {
                    let large = try await HTTPSocket.connect(port: files.port)
                    try await large.sendHead(
                        "PUT", files.path(.random()), headers + [("Content-Length", length)])
                    let answer = try await large.response()
                    #expect(answer.status == 413)
                    #expect(answer.message == "file exceeds 2 MB limit")
                    #expect(answer.headers["connection"] == "close")
                    #expect(await large.end().readableBytes == 0)
                    await large.close()
                }
                let exact = FileID.random()
                #expect(try await files.put(exact, .pattern(2_097_152)).status == 201)
                #expect(try await files.get(exact).body == .pattern(2_097_152))

                let short = try await HTTPSocket.connect(port: files.port)
                let file = FileID.random()
                try await short.sendHead("PUT", files.path(file), files.uploadHeaders(10))
                try await short.send("abcd")
                try await short.closeOutput()
                let answer = try await short.response()
                #expect(answer.status == 400)
                #expect(answer.message == "Content-Length does not match request body length")
                await short.close()
                #expect(try await files.get(file).status == 404)
                #expect(try await server.objects == [FileServer.object(exact, of: files.space)])
            }
        }
    }

    @Test("100 Continue comes after the checks alone", arguments: FileSetting.all)
    func expectContinue(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            try await server.withRecord { files, _ in
                let file = FileID.random()
                let expectation = ("Expect", "100-continue")
                let socket = try await HTTPSocket.connect(port: files.port)
                try await socket.sendHead("PUT", files.path(file), files.uploadHeaders(5) + [expectation])
                #expect(try await socket.response().status == 100)
                try await socket.send("hello")
                #expect(try await socket.response().status == 201)
                // The connection goes on.
                try await socket.sendHead("GET", files.path(file), files.credentials)
                #expect(try await socket.response().text == "hello")
                try await socket.sendHead(
                    "PUT", files.path(.random()), files.uploadHeaders(5, record: .fixture(9)) + [expectation])
                let refused = try await socket.response()
                #expect(refused.status == 400)
                #expect(refused.message == "record not found in this space")
                #expect(await socket.end().readableBytes == 0)
                await socket.close()
            }
        }
    }

    @Test("a refused upload is answered while it is still arriving", arguments: FileSetting.all)
    func earlyRefusal(_ setting: FileSetting) async throws {
        try await setting.withServer(fileBytesMax: 104_857_600) { server in
            try await server.withRecord { files, _ in
                let socket = try await HTTPSocket.connect(port: files.port)
                try await socket.sendHead(
                    "PUT", files.path(.random()), files.uploadHeaders(100_000_000, record: .fixture(9)))
                try await socket.send(.pattern(300_000))
                let answer = try await socket.response()
                #expect(answer.message == "record not found in this space")
                #expect(answer.headers["connection"] == "close")
                // A client that goes on sending is cut off instead of being listened to for ever.
                try await eventually("the connection is cut") {
                    (try? await socket.send(.pattern(1_000_000))) == nil
                }
                await socket.close()
            }
        }
    }
}
