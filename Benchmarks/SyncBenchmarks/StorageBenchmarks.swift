import Benchmark
import FoundationEssentials
import Logging
import NIOCore
import SyncProtocol
import SyncStorage
import SyncStoragePostgres
import SyncStorageSQLite
import SyncTesting
import Synchronization

/// The storage contract on both backends, with the durability of their defaults. Without PostgreSQL programs on this
/// machine a line of output says so, and SQLite alone is measured.
func registerStorageBenchmarks() {
    for backend in TestBackend.available {
        registerPushHot(backend)
        registerPushBatch(backend)
        registerPullHot(backend)
        registerPullFileHeavy(backend)
    }
}

/// One push after another of one new record of 10 bytes.
private func registerPushHot(_ backend: TestBackend) {
    Benchmark.with("\(backend)_push_hot", fixture: { try await Database.open(backend) }) { benchmark, database in
        let changes = try database.newRecords(1, bytes: 10)
        try await benchmark.sample { try await database.push(changes) }
    }
}

/// A push of 1,000 new records of 1 KiB with their DEKs.
private func registerPushBatch(_ backend: TestBackend) {
    Benchmark.with("\(backend)_push_batch_1000", fixture: { try await Database.open(backend) }) { benchmark, database in
        let changes = try database.newRecords(1_000, bytes: 1_024, dek: .wrappedDEK())
        try await benchmark.sample { try await database.push(changes) }
    }
}

/// A pull of 2,000 records of 10 bytes that came in one push.
private func registerPullHot(_ backend: TestBackend) {
    let fixture: @Sendable () async throws -> Database = {
        let database = try await Database.open(backend)
        try await database.push(try database.newRecords(2_000, bytes: 10))
        return database
    }
    Benchmark.with("\(backend)_pull_hot", fixture: fixture) { benchmark, database in
        try await benchmark.sample {
            let count = try await database.storage.withPull(of: database.space, since: 0) { snapshot in
                var count = 0
                while let page = try await snapshot.nextPage() { count += page.count }
                return count
            }
            if count != 2_000 { benchmark.error("pulled \(count) records of 2,000") }
        }
    }
}

/// A pull of 600 records, 600 deletions and 2,400 files; what is left of 1,200 records with 5,000 files.
private func registerPullFileHeavy(_ backend: TestBackend) {
    let fixture: @Sendable () async throws -> Database = {
        let database = try await Database.open(backend)
        let first = try await database.push(try database.newRecords(600, bytes: 10, dek: .wrappedDEK()))
        try await database.push(try database.newRecords(600, bytes: 10, dek: .wrappedDEK()))
        for number in 0..<5_000 { try await database.recordFile(number, of: number % 1_200) }
        try await database.push(try database.deletions(0..<600, at: first.cursor))
        return database
    }
    Benchmark.with("\(backend)_pull_hot_file_heavy", fixture: fixture) { benchmark, database in
        try await benchmark.sample {
            let (records, files) = try await database.storage.withPull(of: database.space, since: 0) { snapshot in
                var (records, files) = (0, 0)
                while let page = try await snapshot.nextPage() {
                    for case .file(let file) in page where !file.deleted { files += 1 }
                    for case .record(let record) in page where !record.deleted { records += 1 }
                }
                return (records, files)
            }
            if (records, files) != (600, 2_400) { benchmark.error("pulled \(records) records, \(files) files") }
        }
    }
}

/// A new, empty database and one space in it.
struct Database: BenchmarkFixture {
    let storage: any Storage
    let url: String
    let space = SpaceID.random()
    private let counter: RecordCounter
    private let remove: @Sendable () async throws -> Void

    static func open(_ backend: TestBackend) async throws -> Database {
        let place = try await DatabasePlace.make(backend)
        let database = Database(
            storage: try await place.open(), url: place.url, counter: RecordCounter(), remove: place.remove)
        _ = try await database.storage.createSpace(database.space, clientID: "benchmark", rootPublicKey: nil)
        return database
    }

    func close() async throws {
        await self.storage.close()
        try await self.remove()
    }

    /// Changes that write records which are not there yet, with sequential ids.
    func newRecords(_ count: Int, bytes: Int, dek: ByteBuffer? = nil) throws -> ChangeSet {
        let blob = ByteBuffer(repeating: 7, count: bytes)
        let changes = self.counter.next(count).map { number in
            PushParams.Change(id: RecordID.fixtureText(number), blob: blob, expectedCursor: 0, dek: dek)
        }
        return try ChangeSet(validating: changes, limits: PushLimits())
    }

    func deletions(_ numbers: Range<Int>, at cursor: Int64) throws -> ChangeSet {
        let changes = numbers.map { number in
            PushParams.Change(id: RecordID.fixtureText(number), blob: nil, expectedCursor: cursor, dek: nil)
        }
        return try ChangeSet(validating: changes, limits: PushLimits())
    }

    @discardableResult
    func push(_ changes: ChangeSet) async throws -> PushReceipt {
        let outcome = try await self.storage.push(Push(space: self.space, changes: changes))
        guard let receipt = outcome.receipt else { throw BenchmarkFailure("a push conflicts") }
        return receipt
    }

    /// Records a file of 1,024 to 1,279 bytes, which no store has.
    func recordFile(_ number: Int, of record: Int) async throws {
        let file = NewFile(
            space: self.space, id: .random(), recordID: .fixture(record), size: Int64(1_024 + number % 256),
            wrappedDEK: .wrappedDEK())
        _ = try await self.storage.recordFile(file)
    }
}

/// Numbers of records, each given once.
final class RecordCounter: Sendable {
    private let last = Mutex(0)

    func next(_ count: Int) -> Range<Int> {
        self.last.withLock { last in
            defer { last += count }
            return last..<(last + count)
        }
    }
}

/// Where a benchmark's database is: a directory of its own, or a schema of its own on a private server.
struct DatabasePlace: Sendable {
    /// `DATABASE_URL` of the place.
    let url: String
    let open: @Sendable () async throws -> any Storage
    let remove: @Sendable () async throws -> Void

    static func make(_ backend: TestBackend) async throws -> DatabasePlace {
        switch backend {
        case .sqlite: try Self.makeSQLite()
        case .postgres: try await Self.makePostgres()
        }
    }

    private static func makeSQLite() throws -> DatabasePlace {
        let name = "less-sync-benchmark-" + UUID().uuidString
        let directory = FileManager.default.temporaryDirectory.path + "/" + name
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let path = directory + "/benchmark.db"
        return DatabasePlace(
            url: "sqlite:" + path,
            open: { try await SQLiteStorage.open(SQLiteConfiguration(path: path), logger: silentLogger) },
            remove: { try FileManager.default.removeItem(atPath: directory) })
    }

    private static func makePostgres() async throws -> DatabasePlace {
        let server = try await PostgresServer.sharedURL()
        let schema = "benchmark_" + UUID().uuidString.lowercased().filter { $0 != "-" }
        try await Self.execute("CREATE SCHEMA \(schema)", at: server)
        let url = server + (server.contains("?") ? "&" : "?") + "options=-csearch_path%3D\(schema)"
        return DatabasePlace(
            url: url,
            open: { try await PostgresStorage.open(PostgresConfiguration(url: url), logger: silentLogger) },
            remove: { try await Self.execute("DROP SCHEMA \(schema) CASCADE", at: server) })
    }

    private static func execute(_ sql: String, at url: String) async throws {
        let console = try await PostgresConsole(url: url)
        defer { console.close() }
        try await console.execute(sql)
    }
}

let silentLogger = Logger(label: "benchmark") { _ in SwiftLogNoOpLogHandler() }

struct BenchmarkFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
