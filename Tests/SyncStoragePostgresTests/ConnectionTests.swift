import Glibc
import NIOCore
import SyncStorage
import SyncTesting
import Synchronization
import Testing

@testable import SyncStoragePostgres

@Suite("PostgreSQL connection", .timeLimit(.minutes(1)))
struct ConnectionTests {
    private static let limit: Duration = .seconds(20)

    private func statement(_ sql: String, name: String? = nil) -> PostgresStatement {
        PostgresStatement(name: name, sql: sql)
    }

    @Test("Several statements in one round trip; named ones are prepared once")
    func pipeline() async throws {
        try await SchemaUnderTest.with { schema in
            for _ in 1...3 {
                let rows = try await schema.connection.execute(
                    [
                        self.statement("SELECT 1", name: "one"), self.statement("SELECT 2::int8 UNION ALL SELECT 3"),
                        self.statement("SELECT 1", name: "one"),
                    ], within: Self.limit)
                #expect(rows.map(\.count) == [1, 2, 1])
                #expect(rows[1].integer(1, 0) == Int64(3))
            }
            let prepared = try await schema.column("SELECT name FROM pg_prepared_statements WHERE name <> ''")
            #expect(prepared == ["one"])
        }
    }

    @Test("A failure names code and message, skips the rest, and leaves the connection usable")
    func failure() async throws {
        try await SchemaUnderTest.with { schema in
            try await schema.run("CREATE TABLE numbers (number int PRIMARY KEY)")
            let expected = PostgresFailure.statement(code: "22012", message: "division by zero")
            await #expect(throws: expected) {
                _ = try await schema.connection.execute(
                    [
                        self.statement("INSERT INTO numbers VALUES (1)"), self.statement("SELECT 1 / 0", name: "bad"),
                        self.statement("INSERT INTO numbers VALUES (2)"),
                    ], within: Self.limit)
            }
            #expect(schema.connection.isUsable)
            // One implicit transaction: nothing of it stays.
            #expect(try await schema.column("SELECT number FROM numbers").isEmpty)
        }
    }

    @Test("A statement that cannot be prepared is prepared again the next time")
    func failedPreparation() async throws {
        try await SchemaUnderTest.with { schema in
            let statement = self.statement("SELECT count(*) FROM later", name: "later")
            await #expect(throws: PostgresFailure.self) {
                _ = try await schema.connection.execute([statement], within: Self.limit)
            }
            try await schema.run("CREATE TABLE later (number int)")
            let rows = try await schema.connection.execute([statement], within: Self.limit)
            #expect(rows[0].integer(0, 0) == Int64(0))
        }
    }

    @Test("An error text quotes no row")
    func noRowInErrors() async throws {
        try await SchemaUnderTest.with { schema in
            try await schema.run("CREATE TABLE blobs (blob text UNIQUE CHECK (blob <> 'secret-content'))")
            try await schema.run("INSERT INTO blobs VALUES ('another-content')")
            for (value, code) in [("secret-content", "23514"), ("another-content", "23505")] {
                do throws(PostgresFailure) {
                    _ = try await schema.connection.execute(
                        [self.statement("INSERT INTO blobs VALUES ('\(value)')")], within: Self.limit)
                    Issue.record("The insert succeeded.")
                } catch {
                    #expect(error.code == code)
                    #expect(!"\(error) \(error.storageError)".contains("content"))
                }
            }
        }
    }

    @Test("An answer that does not come in time costs the connection")
    func deadline() async throws {
        try await SchemaUnderTest.with { schema in
            let other = try await PostgresConnection.connect(
                to: schema.url, on: schema.thread, within: Self.limit, log: { _ in })
            await #expect(throws: PostgresFailure.unavailable) {
                _ = try await other.execute([self.statement("SELECT pg_sleep(60)")], within: .milliseconds(50))
            }
            #expect(!other.isUsable)
            await #expect(throws: PostgresFailure.unavailable) {
                _ = try await other.execute([self.statement("SELECT 1")], within: Self.limit)
            }
            #expect(try await schema.column("SELECT 1") == ["1"])
        }
    }

    @Test("A connection that the server ends fails what waits for it")
    func terminated() async throws {
        try await SchemaUnderTest.with { schema in
            let other = try await PostgresConnection.connect(
                to: schema.url, on: schema.thread, within: Self.limit, log: { _ in })
            let pid = try await other.execute(
                [PostgresStatement(sql: "SELECT pg_backend_pid()::text")], within: Self.limit)[0].text(0, 0)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    await #expect(throws: PostgresFailure.unavailable) {
                        _ = try await other.execute([self.statement("SELECT pg_sleep(60)")], within: Self.limit)
                    }
                }
                let kill = """
                    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE pid = \(try #require(pid)) AND state = 'active' AND query LIKE '%pg_sleep%'
                    """
                try await eventually("the statement runs") { try await !schema.column(kill).isEmpty }
                try await group.waitForAll()
            }
            #expect(!other.isUsable)
        }
    }

    @Test("A connection with a transaction open is not lent again")
    func openTransaction() async throws {
        try await SchemaUnderTest.with { schema in
            #expect(schema.connection.isUsable)
            let expected = PostgresFailure.statement(code: "22012", message: "division by zero")
            await #expect(throws: expected) {
                _ = try await schema.connection.execute(
                    [self.statement("BEGIN"), self.statement("SELECT 1 / 0")], within: Self.limit)
            }
            #expect(!schema.connection.isUsable)
            try await schema.run("ROLLBACK")
            #expect(schema.connection.isUsable)
        }
    }

    @Test("A statement that was skipped is not taken for prepared")
    func skipped() async throws {
        try await SchemaUnderTest.with { schema in
            await #expect(throws: PostgresFailure.self) {
                _ = try await schema.connection.execute(
                    [self.statement("nonsense"), self.statement("SELECT 2", name: "two")], within: Self.limit)
            }
            let rows = try await schema.connection.execute(
                [self.statement("SELECT 2", name: "two")], within: Self.limit)
            #expect(rows[0].integer(0, 0) == Int32(2))
        }
    }

    @Test("A session has its own settings, whatever the role's are")
    func settings() async throws {
        try await SchemaUnderTest.with { schema in
            let options =
                "%20-cdefault_transaction_isolation%3Dserializable%20-cstatement_timeout%3D5000%20-cjit%3Don"
                + "%20-csynchronous_commit%3Doff%20-cdefault_transaction_read_only%3Don"
            let settings = PostgresStatement.sessionSettings(waitLimit: .seconds(30))
            try await SchemaUnderTest.connected(to: schema.url + options, settings: settings) { connection in
                for (name, value) in [
                    ("transaction_isolation", "read committed"), ("transaction_read_only", "off"),
                    ("statement_timeout", "27s"), ("lock_timeout", "5s"), ("jit", "off"), ("enable_seqscan", "off"),
                    ("synchronous_commit", "on"), ("idle_in_transaction_session_timeout", "1min"),
                ] {
                    let current = try await connection.column("SHOW \(name)")
                    #expect(current == [value], "\(name)")
                }
            }
            // More than we ask for stays.
            let more = schema.url + "%20-csynchronous_commit%3Dremote_apply"
            try await SchemaUnderTest.connected(to: more, settings: settings) { connection in
                let current = try await connection.column("SHOW synchronous_commit")
                #expect(current == ["remote_apply"])
            }
        }
    }

    @Test("What the server remarks goes to the log, without its details")
    func notices() async throws {
        try await SchemaUnderTest.with { schema in
            let log = LogRecorder()
            let connection = try await PostgresConnection.connect(
                to: schema.url, on: schema.thread, within: Self.limit, log: { _ in },
                notice: { log.logger.note($0) })
            defer { connection.close() }
            _ = try await connection.execute(
                [
                    self.statement(
                        "DO $$ BEGIN RAISE WARNING 'look here' USING DETAIL = 'row content'; RAISE NOTICE 'and here'; END $$"
                    )
                ], within: Self.limit)
            #expect(log.messages == ["PostgreSQL remarks", "PostgreSQL remarks"])
            let lines = log.lines
            #expect(lines.first?.contains("look here") == true && lines.first?.contains("WARNING") == true)
            #expect(lines.last?.contains("and here") == true)
            #expect(!lines.contains { $0.contains("row content") })
        }
    }

    @Test("Nothing hangs on a thread that has been stopped")
    func stoppedThread() async throws {
        guard let thread = EventThread() else { throw StorageError.unavailable }
        let connection = try await PostgresConnection.connect(
            to: try await PostgresServer.sharedURL(), on: thread, within: Self.limit, log: { _ in })
        connection.close()
        thread.stop()
        thread.stop()
        #expect(!thread.submit {})
        await #expect(throws: PostgresFailure.unavailable) {
            _ = try await connection.execute([self.statement("SELECT 1")], within: Self.limit)
        }
        await #expect(throws: StorageError.unavailable) {
            _ = try await PostgresConnection.connect(
                to: "postgres://127.0.0.1/sync", on: thread, within: Self.limit, log: { _ in })
        }
        let stream = RowStream()
        connection.stream(self.statement("SELECT 1"), to: stream, within: Self.limit)
        await #expect(throws: PostgresFailure.unavailable) { _ = try await stream.next() }
    }

    @Test("A thread that ends takes its connections and what they do with it")
    func endOfThread() async throws {
        try await SchemaUnderTest.with { schema in
            for round in 0..<20 {
                let thread = try #require(EventThread())
                let connection = try await PostgresConnection.connect(
                    to: schema.url, on: thread, within: Self.limit, log: { _ in })
                await withTaskGroup { group in
                    group.addTask {
                        await #expect(throws: PostgresFailure.unavailable) {
                            // Whether it comes before the end or after it.
                            while true {
                                let sql = round % 2 == 0 ? "SELECT 1" : "SELECT pg_sleep(60)"
                                _ = try await connection.execute([self.statement(sql)], within: Self.limit)
                            }
                        }
                    }
                    for _ in 0..<round { await Task.yield() }
                    thread.stop()
                }
                // The thread may not have come to its end yet.
                try await eventually("the thread ends") { !connection.isUsable }
                connection.close()
            }
        }
    }

    @Test("Submitting while the thread stops either runs or is refused, and signals nobody else's descriptor")
    func submittingWhileStopping() async throws {
        for _ in 0..<50 {
            let thread = try #require(EventThread())
            let counts = Counts()
            await withTaskGroup { group in
                for _ in 0..<4 {
                    group.addTask {
                        for _ in 0..<200 {
                            let isAccepted = thread.submit { counts.value.withLock { $0.run += 1 } }
                            if isAccepted { counts.value.withLock { $0.accepted += 1 } }
                        }
                    }
                }
                group.addTask { thread.stop() }
            }
            // What has taken the numbers of the descriptors must not be written to.
            var others: [Int32] = [-1, -1]
            #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0, &others) == 0)
            for _ in 0..<10 { #expect(!thread.submit {}) }
            thread.stop()
            for other in others {
                var byte: UInt8 = 0
                #expect(read(other, &byte, 1) == -1)
            }
            for other in others { close(other) }
            try await eventually("all that was accepted runs") { counts.value.withLock { $0.accepted == $0.run } }
        }
    }
}

private final class Counts: Sendable {
    let value = Mutex((accepted: 0, run: 0))
}
