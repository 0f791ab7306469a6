import Foundation
import Glibc
import SyncProtocol
import SyncTesting
import Testing

/// `less-sync files gc` beside a server and without one, and what a killed server leaves (docs/contract/operations.md §5).
@Suite("File storage of the program, end to end", .timeLimit(.minutes(2)))
struct FileStorageProgramTests {
    /// An object that no row knows of, published two hours ago.
    private func makeOrphan(in directory: String) throws -> String {
        let folder = "\(directory)/data/files/spaces/\(SpaceID.random().wireText)/files"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let path = "\(folder)/\(FileID.random().wireText)"
        try Data(repeating: 1, count: 10).write(to: URL(fileURLWithPath: path))
        try FileManager.default.setAttributes(
            [.modificationDate: Date().addingTimeInterval(-7_200)], ofItemAtPath: path)
        return path
    }

    private func collect(_ arguments: [String], in directory: String) async throws -> String {
        let program = try Program(
            ["files", "gc"] + arguments, environment: ["FILE_STORAGE_BACKEND": "local"], directory: directory)
        #expect(try await program.waitUntilExit() == 0, "\(program.standardError)")
        return program.standardOutput
    }

    private func startServer(in directory: String) async throws -> Program {
        let server = try Program(
            ["dev", "--listen-addr", "127.0.0.1:0", "--data-dir", directory + "/data"],
            environment: ["LOG_FORMAT": "json"], directory: directory)
        _ = try await server.port()
        return server
    }

    @Test("CO16, OJ5: gc leaves objects to the server beside it; one that is killed finds them at its next start")
    func besideServer() async throws {
        try await withTemporaryDirectory { directory async throws in
            let server = try await self.startServer(in: directory)
            let orphan = try self.makeOrphan(in: directory)
            let found = try await self.collect(["--dry-run", "--json"], in: directory)
            #expect(found.contains(#""objectsWithoutRows":{"bytes":10,"found":1,"queued":0,"reclaimed":0}"#))
            #expect(FileManager.default.fileExists(atPath: orphan))
            let queued = try await self.collect(["--force"], in: directory)
            #expect(queued.contains("objects without a row: 1, 10 bytes; 0 removed, 1 left to the running server\n"))
            server.send(SIGKILL)
            _ = try await server.waitUntilExit()

            let next = try await self.startServer(in: directory)
            try await eventually("the object is deleted") { !FileManager.default.fileExists(atPath: orphan) }
            next.send(SIGTERM)
            #expect(try await next.waitUntilExit() == 0)
            #expect(try await self.collect([], in: directory).contains("objects without a row: 0"))
        }
    }

    @Test("gc without a server deletes objects itself, and leaves young ones alone")
    func withoutServer() async throws {
        try await withTemporaryDirectory { directory async throws in
            let server = try await self.startServer(in: directory)
            server.send(SIGTERM)
            #expect(try await server.waitUntilExit() == 0)
            let orphan = try self.makeOrphan(in: directory)
            let young = try await self.collect(["--min-age", "10000"], in: directory)
            #expect(young.contains("objects too young to be judged: 1\n"))
            #expect(FileManager.default.fileExists(atPath: orphan))
            let refused = try Program(
                ["files", "gc"], environment: ["FILE_STORAGE_BACKEND": "local"], directory: directory)
            #expect(try await refused.waitUntilExit() == 1)
            #expect(
                refused.errorLines == [
                    "Error: 1 of 1 objects have no row: this may be the wrong database. Nothing was removed; "
                        + "--force removes them all the same"
                ])
            #expect(FileManager.default.fileExists(atPath: orphan))
            #expect(try await self.collect(["--force"], in: directory).contains("10 bytes; 1 removed\n"))
            #expect(!FileManager.default.fileExists(atPath: orphan))
        }
    }

    @Test("gc without file storage exits with 1; wrong arguments with 64")
    func wrongUse() async throws {
        let none = try Program(["files", "gc"])
        #expect(try await none.waitUntilExit() == 1)
        #expect(none.errorLines == ["Error: FILE_STORAGE_BACKEND is none: there are no files"])
        for arguments in [["gc", "--min-age", "-1"], ["gc", "--no-such-flag"], ["no-such-command"]] {
            let program = try Program(["files"] + arguments)
            #expect(try await program.waitUntilExit() == 64)
        }
    }
}
