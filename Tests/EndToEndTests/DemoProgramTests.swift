import Foundation
import Glibc
import SyncTesting
import Testing

/// The demo as a newcomer runs it: the program against the program.
@Suite("Demo program", .timeLimit(.minutes(2)))
struct DemoProgramTests {
    @Test("demo sends a folder through dev, twice into the same space, and both devices verify every file")
    func demo() async throws {
        try await Self.withDevServer { url, directory in
            let folder = directory + "/folder"
            try Self.makeFolder(folder)
            for run in 1...2 {
                let demo = try Program(["demo", folder, "--url", url, "--user", "alice"])
                #expect(try await demo.waitUntilExit(within: .seconds(90)) == 0, "\(demo.standardError)")
                let output = demo.standardOutput
                // The large file has six parts of a MiB at least; B and C have received as many bytes as A has sent.
                let bytes = Self.columns(of: output, device: "A")
                #expect(bytes != nil, "\(output)")
                #expect(bytes == Self.columns(of: output, device: "B"), "\(output)")
                #expect(bytes == Self.columns(of: output, device: "C"), "\(output)")
                #expect(output.contains("4 files verified by SHA-256 on B and on C"), "\(output)")
                #expect(output.contains("of other runs left alone") == (run == 2), "\(output)")
                #expect(output.contains("skipped:"), "\(output)")
                #expect(output.contains("Ben was removed: Ada's other device heard her next 20 edits"), "\(output)")
                #expect(output.contains("with it the server has none of its files any more"), "\(output)")
            }
        }
    }

    @Test("demo refuses a folder with a name that is not UTF-8 before it sends anything, and names it")
    func nameNotUTF8() async throws {
        try await Self.withDevServer { url, directory in
            let folder = directory + "/folder"
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            let name = Array((folder + "/bad-").utf8CString.dropLast()) + [CChar(bitPattern: 0xFF), 0]
            let descriptor = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
            try #require(descriptor >= 0)
            Glibc.close(descriptor)
            let demo = try Program(["demo", folder, "--url", url])
            #expect(try await demo.waitUntilExit() == 1)
            #expect(demo.errorLines.count >= 1)
            #expect(demo.standardError.contains("bad-"))
            #expect(demo.standardError.contains("UTF-8"))
            #expect(demo.standardOutput.isEmpty)
        }
    }

    @Test("demo without a server, a folder or a development issuer says what is wrong and exits with 1")
    func nothingToTalkTo() async throws {
        try await withTemporaryDirectory { directory in
            let noServer = try Program(["demo", directory, "--url", "http://127.0.0.1:1"])
            #expect(try await noServer.waitUntilExit() == 1)
            #expect(noServer.standardError.contains("no server answers at http://127.0.0.1:1"))
            let noFolder = try Program(["demo", directory + "/missing", "--url", "http://127.0.0.1:1"])
            #expect(try await noFolder.waitUntilExit() == 1)
            #expect(noFolder.standardError.contains("cannot read the folder"))
            let serve = try Program(
                ["serve"],
                environment: [
                    "LOG_FORMAT": "json", "LISTEN_ADDR": "127.0.0.1:0", "TRUSTED_ISSUERS": "https://issuer.example",
                    "DATABASE_URL": "sqlite:\(directory)/serve.db",
                ])
            let noIssuer = try Program(["demo", directory, "--url", "http://127.0.0.1:\(try await serve.port())"])
            #expect(try await noIssuer.waitUntilExit() == 1)
            #expect(noIssuer.standardError.contains("issues no development tokens"))
            serve.send(SIGTERM)
            #expect(try await serve.waitUntilExit() == 0)
        }
    }

    private static func withDevServer(_ body: (_ url: String, _ directory: String) async throws -> Void) async throws {
        try await withTemporaryDirectory { directory in
            let server = try Program(
                ["dev", "--listen-addr", "127.0.0.1:0", "--data-dir", directory + "/data"],
                environment: ["LOG_FORMAT": "json"])
            try await body("http://127.0.0.1:\(try await server.port())", directory)
            server.send(SIGTERM)
            #expect(try await server.waitUntilExit() == 0)
        }
    }

    /// A file of 6 MiB, an empty one, names of several scripts, a folder in a folder, and a link that is not followed.
    private static func makeFolder(_ folder: String) throws {
        let inner = folder + "/Bilder/夏の写真"
        try FileManager.default.createDirectory(atPath: inner, withIntermediateDirectories: true)
        var random = SeededRandom(seed: 1)
        let large = (0..<(6 << 17)).map { _ in random.next() }.withUnsafeBytes { Data($0) }
        try large.write(to: URL(fileURLWithPath: folder + "/large.bin"))
        try Data().write(to: URL(fileURLWithPath: inner + "/empty"))
        try Data("naïve".utf8).write(to: URL(fileURLWithPath: inner + "/Müller 🏔.txt"))
        try Data([0]).write(to: URL(fileURLWithPath: folder + "/one byte"))
        try FileManager.default.createSymbolicLink(
            atPath: folder + "/link", withDestinationPath: "/etc/passwd")
    }

    /// Records and bytes in a device's row of the table.
    private static func columns(of output: String, device: String) -> [String]? {
        guard let line = output.split(separator: "\n").first(where: { $0.hasPrefix(device + " ") }) else { return nil }
        let words = line.split(separator: " ")
        guard words.count >= 6 else { return nil }
        // Counted from the end, because the task in front has several words.
        return [words[words.count - 5], words[words.count - 4]].map(String.init)
    }
}
