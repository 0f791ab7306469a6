import NIOCore
import SyncProtocol
import SyncStorage
import SyncStoragePostgres
import SyncStorageSQLite
import SyncTesting

/// A new, empty database that outlives the servers on it.
struct TestDatabaseURL: Sendable {
    let backend: TestBackend
    /// `DATABASE_URL`.
    let url: String

    static func with(_ backend: TestBackend, _ body: (TestDatabaseURL) async throws -> Void) async throws {
        switch backend {
        case .sqlite:
            try await withTemporaryDirectory { directory in
                try await body(TestDatabaseURL(backend: .sqlite, url: "sqlite:\(directory)/test.db"))
            }
        case .postgres:
            try await PostgresTestStorage.withSchema { url in
                try await body(TestDatabaseURL(backend: .postgres, url: url))
            }
        }
    }

    /// Only for SQLite.
    var path: String { String(self.url.dropFirst("sqlite:".count)) }

    /// Opens the storage before any server does, for states that no request can make yet.
    func prepare(_ body: (any TestStorage) async throws -> Void) async throws {
        switch self.backend {
        case .sqlite:
            let configuration = SQLiteConfiguration(path: self.path, synchronous: .normal, readers: 4)
            try await SQLiteTestStorage.with(configuration) { try await body($0) }
        case .postgres:
            try await PostgresTestStorage.with(PostgresConfiguration(url: self.url, poolSize: 4)) {
                try await body($0)
            }
        }
    }

    /// Runs one statement beside a running server, with parameters as in `TestStorage.execute`.
    @discardableResult
    func execute(_ sql: String, _ values: [TestValue] = []) async throws -> [[TestValue]] {
        switch self.backend {
        case .sqlite:
            let console = try await SQLiteConsole(path: self.path)
            let result: Result<[[SQLiteValue]], any Error>
            do {
                result = .success(try await console.execute(sql, values.map(SQLiteValue.init)))
            } catch {
                result = .failure(error)
            }
            try await console.close()
            return try result.get().map { $0.map(TestValue.init) }
        case .postgres:
            let console = try await PostgresConsole(url: self.url)
            defer { console.close() }
            return try await console.execute(sql, values.map(PostgresConsoleValue.init)).map { $0.map(TestValue.init) }
        }
    }

    /// Keeps every push to `space` from committing while `body` runs, beside a running server.
    func withWritesBlocked(to space: SpaceID, _ body: () async throws -> Void) async throws {
        switch self.backend {
        case .sqlite:
            let console = try await SQLiteConsole(path: self.path)
            try await console.execute("BEGIN IMMEDIATE")
            let result = await Self.result(body)
            try await console.execute("ROLLBACK")
            try await console.close()
            try result.get()
        case .postgres:
            let console = try await PostgresConsole(url: self.url)
            defer { console.close() }
            try await console.execute("BEGIN")
            try await console.execute("SELECT FROM spaces WHERE id = $1 FOR UPDATE", [.uuid(space.rawValue)])
            let result = await Self.result(body)
            try await console.execute("ROLLBACK")
            try result.get()
        }
    }

    private static func result(_ body: () async throws -> Void) async -> Result<Void, any Error> {
        do { return .success(try await body()) } catch { return .failure(error) }
    }
}
