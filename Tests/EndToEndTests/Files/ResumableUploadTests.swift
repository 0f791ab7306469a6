import NIOCore
import SyncAuth
import SyncClient
import SyncProtocol
import SyncServer
import SyncTesting
import Testing

/// docs/files.md, "Resumable uploads".
@Suite("Resumable uploads", .timeLimit(.minutes(5)))
struct ResumableUploadTests {
    @Test("an upload in pieces becomes a file, told once", arguments: FileSetting.all)
    func pieces(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            try await server.withRecord { files, device in
                _ = try await device.subscribe([.init(id: files.space.wireText)])
                let file = FileID.random()
                let bytes = ByteBuffer.pattern(700_000)
                let created = try await files.createUpload(file, length: 700_000)
                #expect(created.status == 201)
                let upload = try #require(created.headers["location"])
                #expect(upload.hasPrefix(files.path(file) + "/uploads/"))
                #expect(created.headers["upload-offset"] == "0")
                #expect(created.headers["upload-complete"] == "?0")
                #expect(created.headers["upload-length"] == "700000")
                let limit = try #require(created.headers["upload-limit"])
                #expect(limit.hasPrefix("max-size=1048576, max-age="))
                #expect(created.headers["upload-draft-interop-version"] == "8")
                #expect(created.headers["access-control-allow-methods"]?.contains("PATCH") == true)

                for start in stride(from: 0, to: 600_000, by: 200_000) {
                    let answer = try await files.append(upload, bytes, start..<start + 200_000)
                    #expect(answer.status == 204)
                    #expect(answer.headers["upload-offset"] == String(start + 200_000))
                    #expect(answer.headers["upload-complete"] == "?0")
                }
                let looked = try await files.request("HEAD", upload, files.credentials)
                #expect(looked.status == 204)
                #expect(looked.headers["upload-offset"] == "600000")
                #expect(looked.headers["upload-complete"] == "?0")
                #expect(looked.headers["cache-control"] == "no-store")
                #expect(try await files.get(file).status == 404)

                let last = try await files.append(upload, bytes, 600_000..<700_000, completes: true)
                #expect(last.status == 201)
                #expect(last.headers["upload-complete"] == "?1")
                let read = try await files.get(file)
                #expect(read.body == bytes)
                #expect(read.headers["x-wrapped-dek"] == ByteBuffer.wrappedDEK(epoch: 1).base64)
                #expect(try await server.objects == [FileServer.object(file, of: files.space)])
                let event = try await within(.seconds(20), "an event") { await device.nextEvent() }
                #expect(
                    event
                        == .file(
                            FileNotification(
                                space: files.space, cursor: 2,
                                files: [
                                    .init(
                                        id: file, recordID: .fixture(1), size: 700_000, dek: .wrappedDEK(epoch: 1))
                                ])))

                // A client that has not seen the last answer finds that there is nothing left to do.
                let finished = try await files.request("HEAD", upload, files.credentials)
                #expect(finished.status == 204)
                #expect(finished.headers["upload-complete"] == "?1")
                #expect(finished.headers["upload-offset"] == "700000")
                let again = try await files.append(upload, bytes, 600_000..<700_000, completes: true)
                #expect(again.status == 400)
                #expect(again.text.contains("#completed-upload"))
                let other = try await files.createUpload(file, length: 5)
                #expect(other.status == 204)
                #expect(other.headers["upload-complete"] == "?1")
            }
        }
    }

    @Test("a whole file, or its beginning, may come with the creation", arguments: FileSetting.all)
    func creation(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            try await server.withRecord { files, _ in
                let whole = FileID.random()
                let stored = try await files.createUpload(whole, length: nil, completes: true, .pattern(1_000))
                #expect(stored.status == 201)
                #expect(stored.headers["upload-complete"] == "?1")
                #expect(try await files.get(whole).body == .pattern(1_000))

                let file = FileID.random()
                let begun = try await files.createUpload(file, length: 1_000, .pattern(400))
                #expect(begun.status == 201)
                #expect(begun.headers["upload-offset"] == "400")
                let upload = try #require(begun.headers["location"])
                #expect(try await files.append(upload, .pattern(1_000), 400..<1_000).status == 204)
                // Whole, but nobody has said so.
                #expect(try await files.get(file).status == 404)
                let done = try await files.append(upload, .pattern(1_000), 1_000..<1_000, completes: true)
                #expect(done.status == 201)
                #expect(try await files.get(file).body == .pattern(1_000))
                let empty = FileID.random()
                #expect(try await files.createUpload(empty, length: 0, completes: true).status == 201)
                #expect(try await files.get(empty).body.readableBytes == 0)
            }
        }
    }

    @Test("an upload that was interrupted goes on where it stopped, after a restart too", arguments: FileSetting.all)
    func interrupted(_ setting: FileSetting) async throws {
        let file = FileID.random()
        let bytes = ByteBuffer.pattern(900_000)
        let user = Principal.fileUser()
        try await TestDatabaseURL.with(setting.backend) { database in
            try await setting.store.with(fileBytesMax: 1_048_576) { location in
                var upload = ""
                try await location.withServer(on: database) { server in
                    try await server.withRecord(user) { files, _ in
                        upload = try #require(try await files.createUpload(file, length: 900_000).headers["location"])
                        let socket = try await HTTPSocket.connect(port: files.port)
                        try await socket.sendHead("PATCH", upload, files.appendHeaders(0, 900_000, completes: true))
                        try await socket.send(#require(bytes.getSlice(at: 0, length: 500_000)))
                        try await socket.closeOutput()
                        #expect(try await socket.response().status == 400)
                        await socket.close()
                        let looked = try await files.request("HEAD", upload, files.credentials)
                        #expect(looked.headers["upload-offset"] == "500000")
                    }
                }
                try await location.withServer(on: database) { server in
                    let files = try server.client(user)
                    let looked = try await files.request("HEAD", upload, files.credentials)
                    #expect(looked.headers["upload-offset"] == "500000")
                    let done = try await files.append(upload, bytes, 500_000..<900_000, completes: true)
                    #expect(done.status == 201)
                    #expect(try await files.get(file).body == bytes)
                    #expect(try await server.objects == [FileServer.object(file, of: files.space)])
                }
            }
        }
    }

    @Test("whoever asks for the offset ends the request that is still waiting", arguments: FileSetting.all)
    func superseded(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            try await server.withRecord { files, _ in
                let file = FileID.random()
                let bytes = ByteBuffer.pattern(900_000)
                let upload = try #require(try await files.createUpload(file, length: 900_000).headers["location"])
                let stalled = try await HTTPSocket.connect(port: files.port)
                try await stalled.sendHead("PATCH", upload, files.appendHeaders(0, 900_000, completes: true))
                try await stalled.send(#require(bytes.getSlice(at: 0, length: 300_000)))
                try await eventually("bytes have been kept") { try server.location.unfinishedBytes > 0 }
                let looked = try await files.request("HEAD", upload, files.credentials)
                let offset = try #require(looked.headers["upload-offset"].flatMap { Int($0) })
                #expect((1...300_000).contains(offset))
                // It hears of it at once, and nothing more is asked of it.
                let late = try await stalled.response()
                #expect(late.status == 409)
                #expect(late.message == "upload continued by another request")
                #expect(await stalled.end().readableBytes == 0)
                await stalled.close()
                // What was said to be the offset is one to go on from.
                #expect(try await files.append(upload, bytes, offset..<900_000, completes: true).status == 201)
                #expect(try await files.get(file).body == bytes)
            }
        }
    }

    @Test("what is wrong with a request is said, and changes nothing", arguments: FileSetting.all)
    func refusals(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            try await server.withRecord { files, _ in
                let bytes = ByteBuffer.pattern(1_000)
                let upload = try #require(
                    try await files.createUpload(.random(), length: 1_000, .pattern(100)).headers["location"])
                let early = try await files.append(upload, bytes, 50..<200)
                #expect(early.status == 409)
                #expect(early.headers["content-type"] == "application/problem+json")
                #expect(early.headers["upload-offset"] == "100")
                #expect(
                    early.text == #"{"expected-offset":100,"provided-offset":50,"#
                        + #""title":"offset from request does not match offset of resource","#
                        + #""type":"https://iana.org/assignments/http-problem-types#mismatching-upload-offset"}"#)
                for (range, completes) in [(100..<500, true), (100..<1_000, false)] {
                    let headers = files.appendHeaders(100, range.count, completes: completes)
                    let longer = completes ? headers : headers + [("Upload-Length", "2000")]
                    let answer = try await files.request(
                        "PATCH", upload, longer, #require(bytes.getSlice(at: 100, length: range.count)))
                    #expect(answer.status == 400)
                    #expect(answer.text.contains("#inconsistent-upload-length"))
                }
                let chunks =
                    files.credentials + [
                        ("Content-Type", "application/partial-upload"), ("Upload-Offset", "100"),
                        ("Upload-Complete", "?0"), ("Transfer-Encoding", "chunked"),
                    ]
                var chunk = ByteBuffer(string: "3E8\r\n")
                chunk.writeImmutableBuffer(bytes)
                chunk.writeString("\r\n0\r\n\r\n")
                let long = try await files.request("PATCH", upload, chunks, chunk)
                #expect(long.status == 400)
                #expect(long.text.contains("#inconsistent-upload-length"))

                let good = files.appendHeaders(100, 0, completes: false)
                func without(_ name: String) -> [(String, String)] { good.filter { $0.0 != name } }
                let cases: [([(String, String)], Int, String)] = [
                    (without("Content-Type"), 415, "Content-Type must be application/partial-upload"),
                    (without("Upload-Complete"), 400, "Upload-Complete header required"),
                    (
                        without("Upload-Complete") + [("Upload-Complete", "true")], 400,
                        "Upload-Complete header required"
                    ),
                    (without("Upload-Offset"), 400, "Upload-Offset header required"),
                    (without("Upload-Offset") + [("Upload-Offset", "-1")], 400, "Upload-Offset header required"),
                    (good + [("Upload-Draft-Interop-Version", "6")], 400, "unsupported Upload-Draft-Interop-Version"),
                    (without("Authorization"), 401, "missing authorization"),
                ]
                for (headers, status, message) in cases {
                    let answer = try await files.request("PATCH", upload, headers)
                    #expect(answer.status == status)
                    #expect(answer.message == message)
                }
                let looked = try await files.request("HEAD", upload, files.credentials)
                // What fits in the length may have been kept before the excess came, as with any request that breaks off.
                let offset = looked.headers["upload-offset"].flatMap { Int($0) } ?? -1
                #expect((100...1_000).contains(offset))
            }
        }
    }

    @Test(
        "an upload needs a length, a record and room, and belongs to its user and its file", arguments: FileSetting.all)
    func ownership(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            try await server.withRecord { files, _ in
                let file = FileID.random()
                let unknown = try await files.createUpload(file, length: nil)
                #expect(unknown.status == 400)
                #expect(unknown.message == "Upload-Length header required")
                let large = try await files.createUpload(file, length: 1_048_577)
                #expect(large.status == 413)
                #expect(large.message == "file exceeds 1 MB limit")
                #expect(large.headers["upload-limit"] == "max-size=1048576")
                let stray = try await files.createUpload(file, length: 5, record: .fixture(9))
                #expect(stray.message == "record not found in this space")

                let upload = try #require(try await files.createUpload(file, length: 5).headers["location"])
                let other = try server.client(.fileUser("bob"), in: files.space)
                #expect(try await other.request("HEAD", upload, other.credentials).status == 404)
                let elsewhere = upload.replacing(file.wireText, with: FileID.random().wireText)
                for (method, path) in [
                    ("HEAD", elsewhere), ("DELETE", elsewhere), ("DELETE", files.path(file) + "/uploads/x"),
                ] {
                    let answer = try await files.request(method, path, files.credentials)
                    #expect(answer.status == 404)
                    #expect(method == "HEAD" || answer.message == "upload not found")
                }
                #expect(try await files.request("DELETE", upload, files.credentials).status == 204)
                #expect(try await files.request("HEAD", upload, files.credentials).status == 404)
                #expect(try await files.append(upload, .pattern(5), 0..<5, completes: true).status == 404)

                // Ten files of the largest size at most.
                var statuses: [Int] = []
                for _ in 1...11 {
                    statuses.append(try await files.createUpload(.random(), length: 1_048_576).status)
                }
                #expect(statuses == Array(repeating: 201, count: 10) + [429])
            }
        }
    }

    @Test("OPTIONS tells what an upload may be", arguments: FileSetting.all)
    func discovery(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            let files = try server.client(.fileUser())
            let uploads = try await files.request("OPTIONS", files.path(.random()) + "/uploads", [])
            #expect(uploads.status == 204)
            #expect(uploads.headers["accept-patch"] == "application/partial-upload")
            #expect(uploads.headers["upload-limit"] == "max-size=1048576")
            #expect(uploads.headers["access-control-allow-headers"]?.contains("Upload-Offset") == true)
            let plain = try await files.request("OPTIONS", files.path(.random()), [])
            #expect(plain.headers["access-control-allow-methods"] == "GET, PUT, HEAD, POST, OPTIONS")
            #expect(plain.headers["accept-patch"] == nil)
        }
    }

    @Test("every request of an upload is authorized like the upload itself", arguments: FileSetting.all)
    func revoked(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            let space = SpaceID.random()
            let (alice, bob) = (Principal.fileUser("alice"), Principal.fileUser("bob"))
            let own = TestDelegation.chain(["alice", "alice"], .admin, over: space)
            let write = TestDelegation.chain(["alice", "bob"], .write, over: space)
            try await server.server.withClient(alice) { device in
                _ = try await device.createSpace(space, rootPublicKey: TestDelegation.rootKey("alice"))
                _ = try await device.push(PushParams(space: space.wireText, ucan: own, changes: [.fixture(1)]))
                let files = try server.client(bob, in: space, ucan: write)
                let upload = try #require(try await files.createUpload(.random(), length: 5).headers["location"])
                try await device.revoke(TestDelegation.cid(of: write), in: space, ucan: own)
                let answer = try await files.append(upload, .pattern(5), 0..<5, completes: true)
                #expect(answer.status == 403)
                #expect(answer.message == "access denied")
                #expect(try await files.request("DELETE", upload, files.credentials).status == 403)
            }
        }
    }

    @Test("other members of a space know nothing of an upload, whatever they may write", arguments: FileSetting.all)
    func otherMember(_ setting: FileSetting) async throws {
        try await setting.withServer { server in
            let space = SpaceID.random()
            let (alice, bob) = (Principal.fileUser("alice"), Principal.fileUser("bob"))
            let own = TestDelegation.chain(["alice", "alice"], .admin, over: space)
            let write = TestDelegation.chain(["alice", "bob"], .write, over: space)
            try await server.server.withClient(alice) { device in
                _ = try await device.createSpace(space, rootPublicKey: TestDelegation.rootKey("alice"))
                _ = try await device.push(PushParams(space: space.wireText, ucan: own, changes: [.fixture(1)]))
            }
            let files = try server.client(alice, in: space, ucan: own)
            let file = FileID.random()
            let upload = try #require(try await files.createUpload(file, length: 5).headers["location"])
            let other = try server.client(bob, in: space, ucan: write)
            #expect(try await other.request("HEAD", upload, other.credentials).status == 404)
            #expect(try await other.append(upload, .pattern(5), 0..<5, completes: true).message == "upload not found")
            #expect(try await other.request("DELETE", upload, other.credentials).message == "upload not found")
            #expect(try await files.append(upload, .pattern(5), 0..<5, completes: true).status == 201)
            #expect(try await other.get(file).body == .pattern(5))
        }
    }

    @Test("an upload whose record is gone ends with it", arguments: FileSetting.all)
    func recordGone(_ setting: FileSetting) async throws {
        try await setting.withServer { _ in
        } _: { server, database in
            try await server.withRecord { files, _ in
                let file = FileID.random()
                let upload = try #require(
                    try await files.createUpload(file, length: 5, .pattern(5)).headers["location"])
                // No request can do this: what is deleted leaves a row.
                try await database.execute("DELETE FROM records")
                let refused = try await files.append(upload, .pattern(5), 5..<5, completes: true)
                #expect(refused.status == 400)
                #expect(refused.message == "record not found in this space")
                #expect(refused.headers["upload-complete"] == "?1")
                #expect(try await files.request("HEAD", upload, files.credentials).status == 404)
                #expect(try await server.objects.isEmpty)
            }
        }
    }

    @Test("a file that cannot be recorded now can be completed later", arguments: FileSetting.all)
    func completedLater(_ setting: FileSetting) async throws {
        try await setting.withServer { _ in
        } _: { server, database in
            try await server.withRecord { files, _ in
                let file = FileID.random()
                let upload = try #require(
                    try await files.createUpload(file, length: 5, .pattern(5)).headers["location"])
                try await database.withFileRowsRefused {
                    let failed = try await files.append(upload, .pattern(5), 5..<5, completes: true)
                    #expect(failed.status == 500)
                    #expect(failed.headers["upload-complete"] == nil)
                }
                #expect(try await files.append(upload, .pattern(5), 5..<5, completes: true).status == 201)
                #expect(try await files.get(file).body == .pattern(5))
            }
        }
    }
}

extension FileClient {
    /// Begins an upload, with the first bytes of it or none.
    func createUpload(
        _ file: FileID, length: Int?, completes: Bool = false, _ bytes: ByteBuffer = ByteBuffer(),
        record: RecordID = .fixture(1), dek: ByteBuffer = .wrappedDEK(epoch: 1)
    ) async throws -> HTTPAnswer {
        let headers =
            self.uploadHeaders(bytes.readableBytes, record: record, dek: dek)
            + [("Upload-Complete", completes ? "?1" : "?0"), ("Upload-Draft-Interop-Version", "8")]
            + (length.map { [("Upload-Length", String($0))] } ?? [])
        return try await self.request("POST", self.path(file) + "/uploads", headers, bytes)
    }

    func appendHeaders(_ offset: Int, _ count: Int, completes: Bool) -> [(String, String)] {
        self.credentials + [
            ("Content-Type", "application/partial-upload"), ("Upload-Offset", String(offset)),
            ("Upload-Complete", completes ? "?1" : "?0"), ("Content-Length", String(count)),
        ]
    }

    func append(
        _ upload: String, _ bytes: ByteBuffer, _ range: Range<Int>, completes: Bool = false
    ) async throws -> HTTPAnswer {
        let headers = self.appendHeaders(range.lowerBound, range.count, completes: completes)
        let slice = bytes.getSlice(at: bytes.readerIndex + range.lowerBound, length: range.count) ?? ByteBuffer()
        return try await self.request("PATCH", upload, headers, slice)
    }
}
