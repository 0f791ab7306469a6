import FoundationEssentials
import SyncStorage

/// A database that the shared storage tests run on: `@Test(arguments: TestBackend.available)`.
package enum TestBackend: String, CaseIterable, Sendable {
    case sqlite
    case postgres

    /// Every backend, unless this machine has no PostgreSQL server to start: then a line of output says so. With
    /// `LESS_SYNC_TEST_REQUIRE_POSTGRES=1` the tests run, and fail, all the same.
    package static let available: [TestBackend] = TestBackend.allCases.filter { backend in
        if backend.database.isAvailable { return true }
        if ProcessInfo.processInfo.environment["LESS_SYNC_TEST_REQUIRE_POSTGRES"] == "1" { return true }
        print("warning: storage tests do NOT run on \(backend.rawValue): its server programs were not found")
        return false
    }

    private var database: any TestDatabase.Type {
        switch self {
        case .sqlite: SQLiteTestDatabase.self
        case .postgres: PostgresTestDatabase.self
        }
    }

    /// Runs `body` with a migrated, empty database of its own and removes it, or all that is in it, afterwards. `body` may
    /// drop tables; `PostgresTestStorage.withSchema` is for other changes to the schema.
    ///
    /// - Parameter poolSize: Connections of the backend, as `DATABASE_POOL_SIZE`; pulls may hold all but two of them.
    package func withStorage(poolSize: Int = 4, _ body: (any TestStorage) async throws -> Void) async throws {
        try await self.database.withStorage(poolSize: poolSize, body)
    }
}

/// How one backend makes databases for tests; each in a file of its own, `TestBackend+….swift`.
package protocol TestDatabase {
    /// Whether the programs that it needs are on this machine.
    static var isAvailable: Bool { get }

    /// See `TestBackend.withStorage`.
    static func withStorage(poolSize: Int, _ body: (any TestStorage) async throws -> Void) async throws
}
