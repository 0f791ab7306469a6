import Logging
import NIOCore
import SyncAuth
import SyncClient
import SyncProtocol
import SyncServer
import SyncTesting
import Testing

/// docs/contract/http.md §9.2–§9.4: what an upload makes, and what a download shows of it.
@Suite("Files over HTTP", .timeLimit(.minutes(5)))
struct FileTransferTests {
    @Test("HL2, HL17: a file is stored, read and looked at", arguments: FileSetting.all)
    func roundTrip(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            try await server.withRecord { files, _ in
                let file = FileID.random()
                let bytes = ByteBuffer(string: "hello world")
                let stored = try await files.put(file, bytes)
                #expect(stored.status == 201)
                #expect(stored.body.readableBytes == 0)
                let read = try await files.get(file)
                #expect(read.status == 200)
                #expect(read.body == bytes)
                let looked = try await files.head(file)
                #expect(looked.status == 200)
                #expect(looked.body.readableBytes == 0)
                for answer in [read, looked] {
                    #expect(answer.headers["content-type"] == "application/octet-stream")
                    #expect(answer.headers["content-length"] == "11")
                    #expect(answer.headers["etag"] == "\"\(file.wireText)\"")
                    #expect(answer.headers["x-wrapped-dek"] == ByteBuffer.wrappedDEK(epoch: 1).base64)
                    #expect(answer.headers["x-protocol-version"] == "1")
                    #expect(answer.headers["last-modified"] == nil)
                    #expect(answer.headers["cache-control"] == nil)
                }
            }
        }
    }

    @Test("operations §12: bytes of files are counted, in whole and resumable uploads and in downloads")
    func counted() async throws {
        let setting = try #require(FileSetting.all.first)
        let ports = AsyncStream.makeStream(of: Int.self)
        try await setting.withServer {
            $0.configuration.metricsAddress = ListenAddress(host: "127.0.0.1", port: 0)
            $0.parts.onMetricsListening = { ports.continuation.yield($0.port) }
        } _: { server, _ in
            var iterator = ports.stream.makeAsyncIterator()
            let metricsPort = try #require(await iterator.next())
            try await server.withRecord { files, _ in
                let file = FileID.random()
                #expect(try await files.put(file, .pattern(5_000)).status == 201)
                #expect(try await files.put(file, .pattern(300)).status == 204)
                #expect(try await files.get(file).status == 200)
                #expect(try await files.get(file, ("Range", "bytes=0-9")).status == 206)
                #expect(try await files.head(file).status == 200)
                let socket = try await HTTPSocket.connect(port: files.port)
                try await socket.sendHead(
                    "POST", files.path(.random()) + "/uploads",
                    files.uploadHeaders(20) + [("Upload-Complete", "?1"), ("Upload-Length", "20")])
                try await socket.send(ByteBuffer.pattern(20))
                #expect(try await socket.response(to: "POST").status == 201)
                await socket.close()
                try await eventually("the counters have caught up") {
                    let scrape = try await HTTPSocket.connect(port: metricsPort)
                    try await scrape.sendHead("GET", "/metrics", [("Connection", "close")])
                    let text = try await scrape.response().text
                    await scrape.close()
                    return text.contains(#"file_bytes_total{direction="received"} 5320"#)
                        && text.contains(#"file_bytes_total{direction="sent"} 5010"#)
                        && text.contains(#"job_runs_total{job="file_deletion",outcome="success"}"#)
                }
            }
        }
    }

    @Test("A client that resets its connection in mid-transfer is no error of the server", arguments: FileSetting.all)
    func resets(_ setting: FileSetting) async throws {
        let log = LogRecorder()
        try await setting.withServer(fileBytesMax: 16_777_216) {
            $0.logger = log.logger(.debug)
        } _: { server, _ in
            try await server.withRecord { files, _ in
                let file = FileID.random()
                #expect(try await files.put(file, .pattern(16_000_000)).status == 201)
                let upload = try await HTTPSocket.connect(port: files.port)
                try await upload.sendHead("PUT", files.path(.random()), files.uploadHeaders(9_000_000))
                try await upload.send(ByteBuffer.pattern(1_000_000))
                try await eventually("the upload has begun") { server.inTheMaking == 1 }
                try await upload.reset()
                try await eventually("the upload has ended") { server.inTheMaking == 0 }
                try await eventually("its end is in the log") {
                    log.lines.contains { $0.contains("connection lost during a request") && $0.contains("route=") }
                }
                let download = try await HTTPSocket.connect(port: files.port)
                try await download.sendHead("GET", files.path(file), files.credentials)
                _ = await download.drop(100_000)
                try await download.reset()
                #expect(try await files.head(file).status == 200)
            }
        }
        #expect(log.lines.filter { $0.hasPrefix("error") } == [])
    }

    @Test("HL3: a second PUT is 204 and changes nothing, but its headers are checked", arguments: FileSetting.all)
    func idempotent(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            try await server.withRecord { files, _ in
                let file = FileID.random()
                #expect(try await files.put(file, ByteBuffer(string: "first")).status == 201)
                let again = try await files.put(
                    file, ByteBuffer(string: "second one"), dek: .wrappedDEK(epoch: 1, fill: 9))
                #expect(again.status == 204)
                let read = try await files.get(file)
                #expect(read.text == "first")
                #expect(read.headers["x-wrapped-dek"] == ByteBuffer.wrappedDEK(epoch: 1).base64)
                let unknown = try await files.put(file, ByteBuffer(string: "x"), record: .fixture(2))
                #expect(unknown.status == 400)
                // A client that waits to be asked for its bytes keeps them.
                let socket = try await HTTPSocket.connect(port: files.port)
                try await socket.sendHead(
                    "PUT", files.path(file), files.uploadHeaders(900_000) + [("Expect", "100-continue")])
                #expect(try await socket.response().status == 204)
                #expect(await socket.end().readableBytes == 0)
                await socket.close()
            }
        }
    }

    @Test("HL16: an unknown file is 404; without its object GET is 404 and HEAD 200", arguments: FileSetting.all)
    func missing(_ setting: FileSetting) async throws {
        try await setting.withServer { server, database in
            try await server.withRecord { files, _ in
                for method in ["GET", "HEAD"] {
                    let unknown = try await files.request(method, files.path(.random()), files.credentials)
                    #expect(unknown.status == 404)
                    #expect(method == "HEAD" || unknown.message == "file not found")
                }
                let file = FileID.random()
                try await database.execute(
                    """
                    INSERT INTO files (space_id, id, size, wrapped_dek, record_id, cursor, deleted)
                    VALUES ($1, $2, 3, $3, $4, 1, $5)
                    """,
                    [
                        .id(files.space), .id(file), .bytes(.wrappedDEK(epoch: 1)), .id(RecordID.fixture(1)),
                        .boolean(false),
                    ])
                let read = try await files.get(file)
                #expect(read.status == 404)
                #expect(read.message == "file not found")
                let looked = try await files.head(file)
                #expect(looked.status == 200)
                #expect(looked.headers["content-length"] == "3")
            }
        }
    }

    @Test("HL18: after a rewrap GET shows the new DEK under the same ETag", arguments: FileSetting.all)
    func rewrapped(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            try await server.withRecord { files, device in
                let file = FileID.random()
                try await files.put(file, ByteBuffer(string: "secret"))
                _ = try await device.beginEpoch(2, in: files.space)
                let dek = ByteBuffer.wrappedDEK(epoch: 2, fill: 3)
                try await device.rewrapFileDEKs([(file, dek)], in: files.space)
                for answer in [try await files.get(file), try await files.head(file)] {
                    #expect(answer.headers["x-wrapped-dek"] == dek.base64)
                    #expect(answer.headers["etag"] == "\"\(file.wireText)\"")
                }
                // The bytes have not changed, but what opens them has.
                let unchanged = try await files.get(file, ("If-None-Match", "\"\(file.wireText)\""))
                #expect(unchanged.status == 304)
                #expect(unchanged.headers["x-wrapped-dek"] == dek.base64)
            }
        }
    }

    @Test("HL20: subscribers hear of a file once, the uploader's own devices too", arguments: FileSetting.all)
    func notified(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            try await server.withRecord { files, device in
                let subscribed = try await device.subscribe([.init(id: files.space.wireText.uppercased())])
                #expect(subscribed.errors.isEmpty)
                let file = FileID.random()
                let dek = ByteBuffer.wrappedDEK(epoch: 1)
                #expect(try await files.put(file, ByteBuffer(string: "hello")).status == 201)
                let expected = FileNotification(
                    space: files.space, cursor: 2,
                    files: [.init(id: file, recordID: .fixture(1), size: 5, dek: dek)])
                #expect(try await Self.event(device) == .file(expected))
                #expect(try await files.put(file, ByteBuffer(string: "hello")).status == 204)
                let other = FileID.random()
                #expect(try await files.put(other, ByteBuffer()).status == 201)
                // Nothing in between: the repetition was told to nobody.
                let next = FileNotification(
                    space: files.space, cursor: 3,
                    files: [.init(id: other, recordID: .fixture(1), size: 0, dek: dek)])
                #expect(try await Self.event(device) == .file(next))
            }
        }
    }

    private static func event(_ device: SyncClient) async throws -> SyncEvent? {
        try await within(.seconds(20), "an event") { await device.nextEvent() }
    }

    @Test("HL22: of ten PUTs at once one is 201, nine are 204, and one notification", arguments: FileSetting.all)
    func racing(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            try await server.withRecord { files, device in
                _ = try await device.subscribe([.init(id: files.space.wireText)])
                let file = FileID.random()
                let answers = try await withThrowingTaskGroup(of: (Int, Int).self) { group in
                    for number in 0..<10 {
                        group.addTask {
                            let bytes = ByteBuffer.pattern(200_000, seed: number)
                            return (number, try await files.put(file, bytes).status)
                        }
                    }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                #expect(answers.map(\.1).sorted() == [201] + Array(repeating: 204, count: 9))
                let winner = try #require(answers.first { $0.1 == 201 }?.0)
                #expect(try await files.get(file).body == .pattern(200_000, seed: winner))
                #expect(try await server.objects == [FileServer.object(file, of: files.space)])
                guard case .file(let first) = try await Self.event(device) else {
                    Issue.record("no file")
                    return
                }
                #expect(first.cursor == 2)
                let last = FileID.random()
                try await files.put(last, ByteBuffer(string: "x"))
                guard case .file(let second) = try await Self.event(device) else {
                    Issue.record("no file")
                    return
                }
                #expect(second.files.map(\.id) == [last])
            }
        }
    }

    @Test("HL25: the first request creates the personal space of the token's client", arguments: FileSetting.all)
    func firstContact(_ setting: FileSetting) async throws {
        try await setting.withServer { server, database in
            for method in ["GET", "HEAD", "PUT"] {
                let user = Principal.fileUser("user of \(method)")
                let files = try server.client(user)
                let answer = try await files.request(
                    method, files.path(.random()), files.uploadHeaders(1), ByteBuffer(string: "x"))
                #expect(answer.status == (method == "PUT" ? 400 : 404))
                let rows = try await database.execute("SELECT client_id FROM spaces WHERE id = $1", [.id(files.space)])
                #expect(rows.map { $0[0].text } == [user.clientID])
            }
        }
    }

    @Test("HL26: with its record a file is gone; the id can be used again", arguments: FileSetting.all)
    func removed(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            try await server.withRecord { files, device in
                let file = FileID.random()
                try await files.put(file, ByteBuffer(string: "old"))
                let removed = try await device.push(
                    PushParams(space: files.space.wireText, changes: [.fixture(1, nil, at: 1), .fixture(2)]))
                #expect(removed == .accepted(cursor: 3))
                #expect(try await files.get(file).status == 404)
                #expect(try await files.head(file).status == 404)
                try await eventually("the object is gone") { try await server.objects.isEmpty }
                #expect(try await files.put(file, ByteBuffer(string: "new"), record: .fixture(2)).status == 201)
                #expect(try await files.get(file).text == "new")
            }
        }
    }

    @Test("HL27: every form of an id names the same file", arguments: FileSetting.all)
    func forms(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            try await server.withRecord { files, _ in
                let file = FileID.random()
                try await files.put(file, ByteBuffer(string: "one"))
                let (space, id) = (files.space.wireText, file.wireText)
                let forms: [(String) -> String] = [
                    { $0.uppercased() }, { $0.filter { $0 != "-" } }, { "%7B\($0)%7D" }, { "urn:uuid:\($0)" },
                ]
                for form in forms {
                    let path = "/api/v1/spaces/\(form(space))/files/\(form(id))"
                    let read = try await files.request("GET", path + "?ignored=1", files.credentials)
                    #expect(read.text == "one", "\(path)")
                    #expect(read.headers["etag"] == "\"\(id)\"")
                }
            }
        }
    }

    @Test("HL28: an empty file", arguments: FileSetting.all)
    func empty(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            try await server.withRecord { files, _ in
                let file = FileID.random()
                #expect(try await files.put(file, ByteBuffer()).status == 201)
                let read = try await files.get(file)
                #expect(read.status == 200)
                #expect(read.headers["content-length"] == "0")
                #expect(read.body.readableBytes == 0)
            }
        }
    }

    @Test("HL11, HL12, HL29: two members share files of all sizes both ways", arguments: FileSetting.all)
    func members(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            let space = SpaceID.random()
            let (alice, bob) = (Principal.fileUser("alice"), Principal.fileUser("bob"))
            let own = TestDelegation.chain(["alice", "alice"], .write, over: space)
            let delegated = TestDelegation.chain(["alice", "alice", "bob"], .write, over: space)
            let readOnly = TestDelegation.chain(["alice", "bob"], .read, over: space)
            try await server.server.withClient(alice) { device in
                _ = try await device.createSpace(space, rootPublicKey: TestDelegation.rootKey("alice"))
                _ = try await device.push(PushParams(space: space.wireText, ucan: own, changes: [.fixture(1)]))
            }
            let pairs = [(alice, own, bob, readOnly), (bob, delegated, alice, own)]
            for (writer, ucan, reader, readUCAN) in pairs {
                for size in [1, 65_536, 1_048_576] {
                    let file = FileID.random()
                    let bytes = ByteBuffer.pattern(size)
                    let stored = try await server.client(writer, in: space, ucan: ucan).put(file, bytes)
                    #expect(stored.status == 201)
                    let files = try server.client(reader, in: space, ucan: readUCAN)
                    #expect(try await files.get(file).body == bytes)
                    #expect(try await files.head(file).headers["content-length"] == String(size))
                }
            }
        }
    }
}
