import Dispatch
import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Synchronization
import Testing

@testable import SyncStoragePostgres

@Suite("Connecting to PostgreSQL", .timeLimit(.minutes(2)))
struct ConnectingTests {
    private static let limit: Duration = .seconds(20)

    private func statement(_ sql: String) -> PostgresStatement { PostgresStatement(sql: sql) }

    @Test("A connection that is refused says why, without the URL")
    func refused() async throws {
        guard let thread = EventThread() else { throw StorageError.unavailable }
        defer { thread.stop() }
        let reasons = Mutex<[String]>([])
        await #expect(throws: StorageError.unavailable) {
            _ = try await PostgresConnection.connect(
                to: "postgres://someone:hunter2@127.0.0.1:1/sync", on: thread, within: Self.limit
            ) { reason in reasons.withLock { $0.append(reason) } }
        }
        let reason = try #require(reasons.withLock { $0 }.first)
        #expect(reason.contains("Connection refused") && !reason.contains("hunter2"))
        await #expect(throws: StorageError.database(detail: "the connection URL is malformed")) {
            _ = try await PostgresConnection.connect(
                to: "postgres://someone:hun/ter2@127.0.0.1:1/sync", on: thread, within: Self.limit, log: { _ in })
        }
    }

    @Test("libpq goes on to the next address, whose socket has the same number")
    func secondAddress() async throws {
        let server = try await PostgresServer.sharedURL()
        guard let at = server.lastIndex(of: "@") else { return }
        guard let thread = EventThread() else { throw StorageError.unavailable }
        defer { thread.stop() }
        let url = server[...at] + "127.0.0.1:1," + server[server.index(after: at)...]
        let connection = try await PostgresConnection.connect(
            to: String(url), on: thread, within: .seconds(10), log: { _ in })
        defer { connection.close() }
        #expect(try await connection.execute([self.statement("SELECT 1")], within: Self.limit)[0].count == 1)
    }

    @Test("A server that accepts and says nothing is given up in time")
    func silentServer() async throws {
        let listener = try SilentListener()
        defer { listener.close() }
        guard let thread = EventThread() else { throw StorageError.unavailable }
        defer { thread.stop() }
        await #expect(throws: StorageError.unavailable) {
            _ = try await PostgresConnection.connect(
                to: "postgres://postgres@127.0.0.1:\(listener.port)/sync", on: thread, within: .seconds(2),
                log: { #expect($0 == "no connection to \"127.0.0.1\", port \(listener.port), in time") })
        }
    }

    @Test("An address that accepts and says nothing is left for the next one after the time of the URL")
    func silentAddress() async throws {
        let server = try await PostgresServer.sharedURL()
        guard let at = server.lastIndex(of: "@") else { return }
        let listener = try SilentListener()
        defer { listener.close() }
        let url = server[...at] + "127.0.0.1:\(listener.port)," + server[server.index(after: at)...]
        let separator = server.contains("?") ? "&" : "?"
        try await SchemaUnderTest.connected(to: url + separator + "connect_timeout=1") { connection in
            let answer = try await connection.column("SELECT 'second'")
            #expect(answer == ["second"])
        }
    }

    @Test("One name with several addresses: those that refuse are passed over")
    func severalAddresses() async throws {
        let server = try await PostgresServer.sharedURL()
        guard server.contains("127.0.0.1") else { return }
        let thread = try #require(EventThread())
        defer { thread.stop() }
        let names = Mutex<[String]>([])
        let connector = try #require(
            PostgresConnector(url: server.replacing("127.0.0.1", with: "db.example")) { name in
                names.withLock { $0.append(name) }
                // Nobody listens at the first two.
                return .success(["127.0.0.77", "::1", "127.0.0.1"])
            })
        let connection = try await PostgresConnection.connect(
            with: connector, on: thread, within: Self.limit, log: { _ in })
        let answer = try await connection.column("SELECT 'third'")
        #expect(answer == ["third"])
        #expect(names.withLock { $0 } == ["db.example"])
    }

    @Test("Looking a name up holds up neither the event thread nor its caller for longer than the limit")
    func slowLookUp() async throws {
        try await SchemaUnderTest.with { schema in
            let lookUp = SlowLookUp()
            defer { lookUp.mayEnd.signal() }
            let connector = try #require(
                PostgresConnector(url: "postgres://someone:opensesame@db.example/sync", lookUp: lookUp.callAsFunction))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    await #expect(throws: StorageError.unavailable) {
                        _ = try await PostgresConnection.connect(
                            with: connector, on: schema.thread, within: .milliseconds(500), log: lookUp.note)
                    }
                }
                try await eventually("the look-up begins") { lookUp.hasBegun }
                // The same event thread.
                let answer = try await schema.column("SELECT 'here'")
                #expect(answer == ["here"])
                try await group.waitForAll()
            }
            #expect(lookUp.reasons == ["no connection to \"db.example\", port 5432, in time"])
        }
    }

    @Test("A name that nobody knows is named, the password is not")
    func unknownName() async throws {
        let thread = try #require(EventThread())
        defer { thread.stop() }
        let reasons = Mutex<[String]>([])
        let connector = try #require(
            PostgresConnector(url: "postgres://someone:opensesame@db.example/sync") { _ in
                .failure(PostgresConnector.LookUpFailure(text: "Name or service not known"))
            })
        await #expect(throws: StorageError.unavailable) {
            _ = try await PostgresConnection.connect(with: connector, on: thread, within: Self.limit) { reason in
                reasons.withLock { $0.append(reason) }
            }
        }
        #expect(reasons.withLock { $0 } == ["cannot look up \"db.example\": Name or service not known"])
    }

    @Test(
        "OM5: neither the error nor the log of a server that cannot start has a password in it",
        arguments: [
            "postgres://someone:opensesame@127.0.0.1:1/postgres",
            "postgres://someone:opensesame@127.0.0.1:1/postgres?sslmode=nonsense",
            "postgres://someone:opensesame@[",
            "postgres://someone:opensesame@127.0.0.1:1/x?nonsense=1",
            "postgres://someone:open/opensesame@127.0.0.1:1/x",
            "postgres://someone:open@opensesame@127.0.0.1:1/x",
            "postgres://someone:open@opensesame/opensesame@127.0.0.1:1/x",
            "postgres://someone:12/opensesame@127.0.0.1:1/x",
            "postgres://someone:opensesame@127.0.0.1:opensesame/x",
            "host=127.0.0.1 port=1 password=open opensesame",
            "postgres://someone:opensesame@127.0.0.1:1/x?connect_timeout=opensesame",
        ])
    func noPassword(url: String) async throws {
        let log = LogRecorder()
        var configuration = PostgresConfiguration(url: url, poolSize: 4)
        configuration.waitLimit = .seconds(10)
        do throws(StorageError) {
            _ = try await PostgresStorage.open(configuration, logger: log.logger)
            Issue.record("There is a connection.")
        } catch {
            #expect(!"\(error)".contains("sesame"))
        }
        let telling = log.lines.filter { $0.contains("sesame") }
        #expect(telling == [])
    }

    @Test("TLS: a pull of long rows and of many arrives whole")
    func tls() async throws {
        let server = try await PostgresServer.start()
        let console = try await PostgresConsole(url: server.url)
        // The server's programs run in its data directory.
        try await console.execute(
            """
            COPY (SELECT 1) TO PROGRAM 'openssl req -new -x509 -days 9 -nodes -subj /CN=localhost -out server.crt \
            -keyout server.key 2>/dev/null && chmod 600 server.key'
            """)
        try await console.execute("ALTER SYSTEM SET ssl = on")
        console.close()
        await server.crash()
        try await server.resume()
        let storage = try await PostgresStorage.open(
            PostgresConfiguration(url: server.url + "?sslmode=require", poolSize: 3), logger: SchemaUnderTest.logger)
        let blob = ByteBuffer(repeating: 7, count: 1_000_000)
        let space = SpaceID.random()
        for number in 0..<8 {
            let change = PushParams.Change(id: RecordID.fixtureText(number), blob: blob, expectedCursor: 0, dek: nil)
            #expect(try await storage.push([change], to: space, creator: "client").cursor == Int64(number + 1))
        }
        _ = try await storage.push((100..<20_100).map { .fixture($0) }, to: space)
        let pull = try await storage.collectPull(of: space)
        #expect(pull.records.count == 20_008)
        #expect(pull.records.prefix(8).allSatisfy { $0.blob == blob })
        await storage.close()
        await server.remove()
    }
}

/// Blocks the thread that looks a name up, as `getaddrinfo` does; it is the connector's own, so a semaphore may hold it.
private final class SlowLookUp: Sendable {
    let mayEnd = DispatchSemaphore(value: 0)
    private let state = Mutex((hasBegun: false, reasons: [String]()))

    var hasBegun: Bool { self.state.withLock { $0.hasBegun } }
    var reasons: [String] { self.state.withLock { $0.reasons } }

    @Sendable
    func callAsFunction(_ host: String) -> Result<[String], PostgresConnector.LookUpFailure> {
        self.state.withLock { $0.hasBegun = true }
        self.mayEnd.wait()
        return .failure(PostgresConnector.LookUpFailure(text: "no such name"))
    }

    @Sendable
    func note(_ reason: String) { self.state.withLock { $0.reasons.append(reason) } }
}
