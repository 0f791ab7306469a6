import FoundationEssentials
import Glibc
import Logging
import NIOCore
package import SyncProtocol
package import SyncStorage
package import SyncStorageSQLite

enum SQLiteTestDatabase: TestDatabase {
    static let isAvailable = true

    static func withStorage(poolSize: Int, _ body: (any TestStorage) async throws -> Void) async throws {
        try await withTemporaryDirectory { directory in
            // Power may fail as it likes: what these tests check does not depend on it, and they run much faster so.
            var configuration = SQLiteConfiguration(
                path: directory + "/test.db", synchronous: .normal, readers: poolSize)
            // `withWritesBlocked` may take long on a busy machine.
            configuration.busyTimeout = .seconds(50)
            try await SQLiteTestStorage.with(configuration, body)
        }
    }
}

/// A SQLite storage under test.
package struct SQLiteTestStorage: TestStorage {
    package let sqlite: SQLiteStorage
    private let console: SQLiteConsole

    package var storage: any Storage { self.sqlite }

    /// As below, for a caller that may not know the driver.
    package static func with(path: String, _ body: (SQLiteTestStorage) async throws -> Void) async throws {
        try await Self.with(SQLiteConfiguration(path: path, synchronous: .normal, readers: 4), body)
    }

    /// Opens the storage, runs `body` and closes it, however `body` ends.
    package static func with(
        _ configuration: SQLiteConfiguration, _ body: (SQLiteTestStorage) async throws -> Void
    ) async throws {
        let sqlite = try await SQLiteStorage.open(
            configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let console = try await SQLiteConsole(path: sqlite.path)
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(SQLiteTestStorage(sqlite: sqlite, console: console)))
        } catch {
            result = .failure(error)
        }
        try await console.close()
        await sqlite.close()
        try result.get()
    }

    @discardableResult
    package func execute(_ sql: String, _ values: [TestValue]) async throws -> [[TestValue]] {
        try await self.console.execute(sql, values.map(SQLiteValue.init)).map { row in row.map(TestValue.init) }
    }

    package func withWritesBlocked(to space: SpaceID, _ body: () async throws -> Void) async throws {
        let other = try await SQLiteConsole(path: self.sqlite.path)
        try await other.execute("BEGIN IMMEDIATE")
        let result: Result<Void, any Error>
        do {
            result = .success(try await body())
        } catch {
            result = .failure(error)
        }
        try await other.execute("ROLLBACK")
        try await other.close()
        try result.get()
    }

    /// Overwrites the database and its WAL, so that the next page to be read is damaged.
    package func breakOpenPulls() async throws {
        for path in [self.sqlite.path, self.sqlite.path + "-wal"] { try overwrite(path) }
    }
}

/// Runs `body` with the path of a new directory, which goes afterwards with everything in it.
package func withTemporaryDirectory(_ body: (String) async throws -> Void) async throws {
    let directory = FileManager.default.temporaryDirectory.path + "/less-sync-test-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    try await body(directory)
}

private func overwrite(_ path: String) throws {
    let descriptor = open(path, O_WRONLY)
    guard descriptor >= 0 else { throw CocoaError(.fileNoSuchFile) }
    defer { close(descriptor) }
    let damage = [UInt8](repeating: 0xFF, count: 1 << 16)
    let end = lseek(descriptor, 0, SEEK_END)
    var offset = 0
    while offset < end {
        let written = pwrite(descriptor, damage, min(damage.count, Int(end) - offset), off_t(offset))
        guard written > 0 else { throw CocoaError(.fileWriteUnknown) }
        offset += written
    }
}

extension SQLiteValue {
    package init(_ value: TestValue) {
        switch value {
        case .null: self = .null
        case .integer(let value), .moment(let value): self = .integer(value)
        case .boolean(let value): self = .integer(value ? 1 : 0)
        case .text(let text): self = .text(text)
        case .bytes(let bytes): self = .blob(bytes)
        case .uuid(let uuid): self = .blob(withUnsafeBytes(of: uuid.uuid) { ByteBuffer(bytes: $0) })
        }
    }
}

extension TestValue {
    /// A UUID comes back as its bytes.
    package init(_ value: SQLiteValue) {
        switch value {
        case .null: self = .null
        case .integer(let value): self = .integer(value)
        case .text(let text): self = .text(text)
        case .blob(let bytes): self = .bytes(bytes)
        }
    }
}
