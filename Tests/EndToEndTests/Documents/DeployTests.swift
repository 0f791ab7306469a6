import Foundation
import Glibc
import SyncProtocol
import SyncTesting
import Testing

/// What lies in `deploy/`, as far as it can be tried without a service manager or a container engine. Its metrics are checked
/// by `DeployedMetricsTests`.
@Suite("Deployment files, end to end", .timeLimit(.minutes(2)))
struct DeployTests {
    private static func content(_ name: String) throws -> String {
        try String(contentsOfFile: DocumentBlock.root + "/" + name, encoding: .utf8)
    }

    private static let systemdAnalyze = "/usr/bin/systemd-analyze"

    @Test(
        "The unit is one that systemd accepts",
        .enabled(if: FileManager.default.isExecutableFile(atPath: Self.systemdAnalyze), "systemd is not installed"))
    func unit() async throws {
        try await withTemporaryDirectory { directory in
            let unit = try Self.content("deploy/less-sync.service")
            #expect(unit.contains("ExecStart=/usr/local/bin/less-sync serve\n"))
            for (name, text) in [
                ("less-sync", unit.replacing("/usr/local/bin/less-sync", with: Program.path)),
                // Nothing is accepted without being read.
                ("wrong", unit.replacing("Restart=on-failure", with: "Restart=perhaps")),
            ] {
                let path = "\(directory)/\(name).service"
                try text.write(toFile: path, atomically: true, encoding: .utf8)
                let check = try Program(["verify", path], executable: Self.systemdAnalyze)
                let status = try await check.waitUntilExit()
                let complaints = check.standardError.split(separator: "\n").filter { $0.contains("\(name).service") }
                #expect(complaints.isEmpty == (name == "less-sync"), "\(check.standardError)")
                if name == "less-sync" { #expect(status == 0) }
            }
        }
    }

    @Test("The unit waits longer for the end than a shutdown may take")
    func unitTimeout() throws {
        let line = try #require(
            Self.content("deploy/less-sync.service").split(separator: "\n").first { $0.hasPrefix("TimeoutStopSec=") })
        #expect(try #require(Int(line.dropFirst("TimeoutStopSec=".count))) > 30)
    }

    @Test("The image is built from what is in the repository, with the packages that a build needs")
    func dockerfile() throws {
        let lines = try Self.content("deploy/Dockerfile").split(separator: "\n")
        let copied = lines.filter { $0.hasPrefix("COPY ") && !$0.contains("--from=") }.flatMap { line in
            line.split(separator: " ").dropFirst().filter { !$0.hasPrefix("--") }.dropLast()
        }
        #expect(copied.contains("Package.swift") && copied.contains("Package.resolved"))
        for name in copied {
            #expect(FileManager.default.fileExists(atPath: "\(DocumentBlock.root)/\(name)"), "\(name)")
        }
        let installer = try Self.content("Scripts/install-packages")
        let wanted = installer.split(separator: "if [ \"${1:-}\" = --tests ]")[0].matches(
            of: /missing\+=\(([a-z0-9-]+)\)/)
        #expect(wanted.count == 3)
        let installed = lines.first { $0.contains("apt-get install") } ?? ""
        for package in wanted { #expect(installed.contains(" \(package.output.1)"), "\(package.output.1)") }
    }

    @Test("The container migrates, makes one federation key however often it starts, and serves; flags go to serve")
    func entrypoint() async throws {
        try await withTemporaryDirectory { directory in
            for _ in 0..<2 {
                let container = try Program(
                    ["\(DocumentBlock.root)/deploy/entrypoint.sh", "--listen-addr", "127.0.0.1:0"],
                    environment: [
                        "PATH": URL(fileURLWithPath: Program.path).deletingLastPathComponent().path + ":/usr/bin:/bin",
                        "DATABASE_URL": "sqlite:\(directory)/less-sync.db", "FEDERATION_DOMAIN": "sync.example.com",
                        "TRUSTED_ISSUERS": "http://127.0.0.1:1", "LOG_FORMAT": "json",
                    ], directory: directory, executable: "/bin/sh")
                let client = FileClient(port: try await container.port(), token: "", space: .random())
                let keys = try await client.request("GET", "/.well-known/jwks.json", [])
                #expect(keys.text.matches(of: /sync\.example\.com/).count == 1, "\(keys.text)")
                #expect(container.standardOutput.contains("migrations complete\n"))
                container.send(SIGTERM)
                #expect(try await container.waitUntilExit() == 0)
            }
        }
    }
}
