import FoundationEssentials
import Glibc
import Logging
import ServiceLifecycle
import SyncClient
import SyncServer
import SyncTesting
import Synchronization
import Testing

@Suite("Demo against a server", .timeLimit(.minutes(2)))
struct DemoTests {
    @Test(
        "two devices receive and verify a folder with a file above the record limit, twice in one space",
        arguments: TestBackend.available)
    func wholeRun(on backend: TestBackend) async throws {
        try await Self.withDevServer(on: backend) { url, directory in
            let folder = "\(directory)/folder"
            try Self.write(6_291_456 + 17, to: "\(folder)/sub/large")
            try Self.write(1_048_576, to: "\(folder)/one part")
            try Self.write(0, to: "\(folder)/empty")
            for number in 0..<250 { try Self.write(number, to: "\(folder)/sub/ü/\(number) \u{1F600}") }
            #expect(symlink("empty", "\(folder)/link") == 0)
            var options = Demo.Options(folder: folder)
            options.url = url
            options.user = "bob"
            let lines = Counter()
            let first = try await Demo(options).run(watchInterval: .milliseconds(10)) { _ in lines.add() }
            // 7 parts, 1 part, and one record for every other file; then the manifest.
            #expect(first.rows.map(\.records) == [260, 260, 260])
            let bytes: Int64 = 6_291_456 + 17 + 1_048_576 + 249 * 250 / 2
            #expect(first.rows.map(\.bytes) == [bytes, bytes, bytes])
            #expect(Set(first.rows.map(\.cursor)).count == 1)
            #expect(first.files == 253)
            #expect(first.isComplete)
            #expect(first.foreignRecords == 0)
            #expect(first.skipped == [#""link" is a symbolic link"#])
            #expect(lines.count >= 2)
            let second = try await Demo(options).run { _ in }
            #expect(second.files == 253)
            #expect(second.foreignRecords == 260)
            #expect(second.space == first.space)
            #expect(second.rows[0].cursor == 2 * first.rows[0].cursor)
        }
    }

    @Test("runs at the same time in one space do not disturb each other", arguments: TestBackend.available)
    func concurrentRuns(on backend: TestBackend) async throws {
        try await Self.withDevServer(on: backend) { url, directory in
            for number in 0..<120 { try Self.write(20_000, to: "\(directory)/folder/\(number)") }
            var options = Demo.Options(folder: "\(directory)/folder")
            options.url = url
            options.user = "bob"
            let demo = Demo(options)
            async let one = demo.run { _ in }
            async let other = demo.run { _ in }
            let reports = try await [one, other]
            #expect(reports.map(\.files) == [120, 120])
            #expect(Set(reports.map(\.space)).count == 1)
        }
    }

    @Test(
        "two people share a space, edit it live, and one is removed and hears nothing more",
        arguments: TestBackend.available)
    func sharing(on backend: TestBackend) async throws {
        try await Self.withDevServer(on: backend) { url, _ in
            let steps = Counter()
            try await DemoSharing(url: url).run { _ in steps.add() }
            #expect(steps.count == 4)
        }
    }

    @Test(
        "files are uploaded encrypted, verified on another device, rewrapped and deleted",
        arguments: TestBackend.available)
    func files(on backend: TestBackend) async throws {
        try await Self.withDevServer(on: backend) { url, _ in
            let steps = Counter()
            try await DemoFiles(url: url).run { _ in steps.add() }
            #expect(steps.count == 3)
        }
    }

    @Test("a server without development tokens, and none at all, are told apart")
    func noDevServer() async throws {
        try await Self.withServer(on: .sqlite, isDev: false) { url, directory in
            var options = Demo.Options(folder: directory)
            options.url = url
            let demo = Demo(options)
            await #expect(throws: DemoError.notDevServer(url: url, detail: "/dev/token: 401")) {
                try await demo.run { _ in }
            }
        }
        try await Self.withDevServer(on: .sqlite) { url, directory in
            var options = Demo.Options(folder: directory)
            options.url = url
            options.user = ""
            let nobody = Demo(options)
            await #expect(throws: DemoError.tokenRefused("user is required")) { try await nobody.run { _ in } }
            // Nothing listens on port 1.
            options.url = "http://127.0.0.1:1"
            do {
                _ = try await Demo(options).run { _ in }
                Issue.record("there is no server")
            } catch DemoError.noServer(let url, _) {
                #expect(url == "http://127.0.0.1:1")
            }
        }
    }

    // MARK: - Support

    private static func write(_ count: Int, to path: String) throws {
        let url = URL(filePath: path)
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        var generator = SystemRandomNumberGenerator()
        try Data((0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }).write(to: url)
    }

    private static func withDevServer(
        on backend: TestBackend, _ body: (_ url: String, _ directory: String) async throws -> Void
    ) async throws {
        try await self.withServer(on: backend, isDev: true, body)
    }

    private static func withServer(
        on backend: TestBackend, isDev: Bool, _ body: (_ url: String, _ directory: String) async throws -> Void
    ) async throws {
        try await withTemporaryDirectory { directory in
            switch backend {
            case .sqlite: try await self.run("sqlite:\(directory)/test.db", directory, isDev: isDev, body)
            case .postgres:
                try await PostgresTestStorage.withSchema { try await self.run($0, directory, isDev: isDev, body) }
            }
        }
    }

    private static func run(
        _ database: String, _ directory: String, isDev: Bool, _ body: (String, String) async throws -> Void
    ) async throws {
        var configuration = ServerConfiguration()
        configuration.listenAddress = ListenAddress(host: "127.0.0.1", port: 0)
        configuration.database = try DatabaseLocation(database)
        configuration.sqliteSynchronous = .normal
        configuration.fileStorage = .local
        configuration.fileStoragePath = "\(directory)/files"
        var parts = Server.Parts(configuration)
        if isDev { parts.devIssuer = try DevIssuer(directory: directory) }
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let (addresses, listening) = AsyncStream.makeStream(of: ListenAddress.self)
        let server = try await Server.open(
            configuration, parts, logger: logger, onListening: { listening.yield($0) })
        let group = server.makeServiceGroup()
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                defer { listening.finish() }
                try await group.run()
            }
            var iterator = addresses.makeAsyncIterator()
            if let address = await iterator.next() {
                do { try await body("http://127.0.0.1:\(address.port)", directory) } catch {
                    tasks.cancelAll()
                    throw error
                }
            }
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }
}

private final class Counter: Sendable {
    private let value = Mutex(0)

    var count: Int { self.value.withLock { $0 } }

    func add() { self.value.withLock { $0 += 1 } }
}
