import FoundationEssentials
import Logging
import NIOCore
package import SyncProtocol
package import SyncStorage
package import SyncStoragePostgres

enum PostgresTestDatabase: TestDatabase {
    static var isAvailable: Bool {
        PostgresServer.programs != nil
            || !PostgresServer.isPrivate
    }

    static func withStorage(poolSize: Int, _ body: (any TestStorage) async throws -> Void) async throws {
        try await SparedSchemas.shared.withSchema { url in
            try await PostgresTestStorage.with(PostgresConfiguration(url: url, poolSize: poolSize), body)
        }
    }
}

/// A PostgreSQL storage under test, in a schema of its own.
package struct PostgresTestStorage: TestStorage {
    package let postgres: PostgresStorage
    package let url: String
    private let console: PostgresConsole

    package var storage: any Storage { self.postgres }

    /// Runs `body` with the URL of a new, empty schema, which goes afterwards.
    package static func withSchema(_ body: (String) async throws -> Void) async throws {
        let schema = try await TestSchema.create()
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(schema.url))
        } catch {
            result = .failure(error)
        }
        try await schema.drop()
        try result.get()
    }

    /// Opens the storage, runs `body` and closes it, however `body` ends.
    package static func with(
        _ configuration: PostgresConfiguration, _ body: (PostgresTestStorage) async throws -> Void
    ) async throws {
        let postgres = try await PostgresStorage.open(
            configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        // Told from the storage's own by the name that breakOpenPulls() looks for.
        let console = try await PostgresConsole(
            url: configuration.url.replacing("application_name=", with: "application_name=console_"))
        let result: Result<Void, any Error>
        do {
            let storage = PostgresTestStorage(postgres: postgres, url: configuration.url, console: console)
            result = .success(try await body(storage))
        } catch {
            result = .failure(error)
        }
        console.close()
        await postgres.close()
        try result.get()
    }

    @discardableResult
    package func execute(_ sql: String, _ values: [TestValue]) async throws -> [[TestValue]] {
        try await self.console.execute(sql, values.map(PostgresConsoleValue.init)).map { row in
            row.map(TestValue.init)
        }
    }

    package func withWritesBlocked(to space: SpaceID, _ body: () async throws -> Void) async throws {
        let other = try await PostgresConsole(
            url: self.url.replacing("application_name=", with: "application_name=console_"))
        try await other.execute("BEGIN")
        try await other.execute("SELECT FROM spaces WHERE id = $1 FOR UPDATE", [.uuid(space.rawValue)])
        let result: Result<Void, any Error>
        do {
            result = .success(try await body())
        } catch {
            result = .failure(error)
        }
        try await other.execute("ROLLBACK")
        other.close()
        try result.get()
    }

    /// Ends every connection of the storage from the server's side.
    package func breakOpenPulls() async throws {
        try await self.console.execute(
            """
            SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
            WHERE 'console_' || application_name = current_setting('application_name')
            """)
    }
}

extension PostgresConsoleValue {
    package init(_ value: TestValue) {
        switch value {
        case .null: self = .null
        case .integer(let value): self = .integer(value)
        case .boolean(let value): self = .boolean(value)
        case .text(let value): self = .text(value)
        case .bytes(let value): self = .bytes(value)
        case .uuid(let value): self = .uuid(value)
        case .moment(let microseconds):
            let date = Date(timeIntervalSince1970: Double(microseconds) / 1_000_000)
            self = .text(date.formatted(.iso8601))
        }
    }
}

extension TestValue {
    package init(_ value: PostgresConsoleValue) {
        switch value {
        case .null: self = .null
        case .integer(let value): self = .integer(value)
        case .boolean(let value): self = .boolean(value)
        case .text(let value): self = .text(value)
        case .bytes(let value): self = .bytes(value)
        case .uuid(let value): self = .uuid(value)
        }
    }
}
