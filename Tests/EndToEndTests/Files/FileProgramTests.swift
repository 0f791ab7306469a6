import Foundation
import Glibc
import NIOCore
import SyncAuth
import SyncClient
import SyncProtocol
import SyncServer
import SyncStorage
import SyncTesting
import Testing

/// Files with the real program, and its end.
@Suite("Files of a process", .timeLimit(.minutes(5)))
struct FileProgramTests {
    /// docs/contract/http.md, HL24: what a transfer of 100 MiB may add to the resident memory.
    private static let growthMax = 16 * 1_024

    @Test(
        "HL24: 100 MiB up and down, and four times down at once, take no more than 16 MiB of memory",
        arguments: TestFileStore.available)
    func memory(_ store: TestFileStore) async throws {
        try await store.with(fileBytesMax: 104_857_600) { location in
            let configuration = location.configuration
            let program = try Program(
                [
                    "dev", "--listen-addr", "127.0.0.1:0", "--data-dir", configuration.fileStoragePath,
                    "--log-format", "json", "--file-storage-backend", store.rawValue,
                ],
                environment: [
                    "FILE_S3_ENDPOINT": configuration.s3.endpoint, "FILE_S3_BUCKET": configuration.s3.bucket,
                    "FILE_S3_ACCESS_KEY": ObjectStoreServer.accessKey,
                    "FILE_S3_SECRET_KEY": ObjectStoreServer.secretKey,
                ])
            let port = try await program.port()
            let endpoint = try DemoEndpoint("http://127.0.0.1:\(port)")
            let token = try #require(try await DevTokens(endpoint).fetch(1, user: "alice", client: "test").first)
            let device = try await SyncClient.connect(
                to: "ws://127.0.0.1:\(port)/api/v1/ws", token: token.token)
            let pushed = try await device.push(PushParams(space: token.space.wireText, changes: [.fixture(1)]))
            #expect(pushed == .accepted(cursor: 1))
            await device.close()
            let files = FileClient(port: port, token: token.token, space: token.space)
            // What every file needs once is there after these.
            for _ in 1...3 {
                let file = FileID.random()
                #expect(try await files.put(file, .pattern(3_145_728)).status == 201)
                #expect(try await files.get(file).body.readableBytes == 3_145_728)
            }
            // From now on the peak counts.
            try Data("5".utf8).write(to: URL(fileURLWithPath: "/proc/\(program.id)/clear_refs"))
            let before = try Self.memory("VmRSS", of: program.id)
            let file = FileID.random()
            let piece = ByteBuffer.pattern(1_048_576)
            let socket = try await HTTPSocket.connect(port: port)
            try await socket.sendHead("PUT", files.path(file), files.uploadHeaders(104_857_600))
            for _ in 1...100 { try await socket.send(piece) }
            #expect(try await socket.response().status == 201)
            let uploaded = try Self.memory("VmHWM", of: program.id)
            try await socket.sendHead("GET", files.path(file), files.credentials)
            let read = try await socket.response()
            #expect(read.body.readableBytes == 104_857_600)
            #expect(read.body.getSlice(at: read.body.readerIndex + 99 * 1_048_576, length: 1_048_576) == piece)
            await socket.close()
            let downloaded = try Self.memory("VmHWM", of: program.id)
            #expect(uploaded - before <= Self.growthMax)
            #expect(downloaded - before <= Self.growthMax)
            try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 1...4 {
                    group.addTask {
                        let socket = try await HTTPSocket.connect(port: port)
                        try await socket.sendHead("GET", files.path(file), files.credentials)
                        let count = await socket.drop(104_857_600)
                        await socket.close()
                        return count
                    }
                }
                for try await count in group { #expect(count >= 104_857_600, "\(program.standardError)") }
            }
            let fourfold = try Self.memory("VmHWM", of: program.id)
            print(
                "memory in KiB with \(store): before \(before), after the upload \(uploaded), after the download "
                    + "\(downloaded), after four at once \(fourfold)")
            #expect(fourfold - before <= Self.growthMax)
            let large = try await files.request(
                "PUT", files.path(.random()), files.uploadHeaders(104_857_601), ByteBuffer())
            #expect(large.message == "file exceeds 100 MB limit")
            program.send(SIGTERM)
            #expect(try await program.waitUntilExit() == 0)
        }
    }

    /// KiB.
    private static func memory(_ field: String, of process: Int32) throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix(field + ":") })
        return try #require(line.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) })
    }

    @Test("OG3: an upload in progress finishes within the budget of a shutdown", arguments: FileSetting.all)
    func finishes(_ setting: FileSetting) async throws {
        try await setting.withServer { _ in
        } _: { server, database in
            try await server.withRecord { files, _ in
                let file = FileID.random()
                let socket = try await HTTPSocket.connect(port: files.port)
                try await socket.sendHead("PUT", files.path(file), files.uploadHeaders(10))
                try await socket.send("hello")
                try await eventually("the upload is under way") { server.inTheMaking > 0 }
                await server.server.shutDown()
                try await eventually("no new connection is taken") {
                    (try? await HTTPSocket.connect(port: files.port)) == nil
                }
                try await socket.send("world")
                #expect(try await socket.response().status == 201)
                await socket.close()
                #expect(try await server.objects == [FileServer.object(file, of: files.space)])
            }
        }
    }

    @Test("OG3: an upload that does not finish leaves nothing", arguments: FileSetting.all)
    func cut(_ setting: FileSetting) async throws {
        try await setting.withServer {
            $0.parts.shutdownGrace = .milliseconds(200)
            $0.parts.closeWait = .milliseconds(100)
        } _: { server, database in
            try await server.withRecord { files, _ in
                let socket = try await HTTPSocket.connect(port: files.port)
                try await socket.sendHead("PUT", files.path(.random()), files.uploadHeaders(10))
                try await socket.send("hello")
                try await eventually("the upload is under way") { server.inTheMaking > 0 }
                await server.server.shutDown()
                try await eventually("nothing is left") { try await server.objects.isEmpty }
                await socket.close()
                let rows = try await database.execute("SELECT size FROM files")
                #expect(rows.isEmpty)
            }
        }
    }
}
