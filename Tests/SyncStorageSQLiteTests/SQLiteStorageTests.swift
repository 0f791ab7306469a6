import FoundationEssentials
import GRDB
import Glibc
import Logging
import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncStorageSQLite

extension Logger {
    static var silent: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }
}

@Suite("SQLite storage", .timeLimit(.minutes(5)))
struct SQLiteStorageTests {
    func with(
        _ change: (inout SQLiteConfiguration) -> Void = { _ in }, _ body: (SQLiteTestStorage) async throws -> Void
    ) async throws {
        try await withTemporaryDirectory { directory in
            var configuration = SQLiteConfiguration(path: directory + "/test.db", synchronous: .normal, readers: 4)
            configuration.busyTimeout = .seconds(50)
            change(&configuration)
            try await SQLiteTestStorage.with(configuration, body)
        }
    }

    @Test("C16: synchronous is what was asked for, in WAL mode", arguments: [("full", 2), ("normal", 1)])
    func synchronous(name: String, value: Int) async throws {
        try await withTemporaryDirectory { directory in
            let mode = try #require(SQLiteConfiguration.Synchronous(rawValue: name))
            let configuration = SQLiteConfiguration(path: directory + "/test.db", synchronous: mode, readers: 1)
            let storage = try await SQLiteStorage.open(configuration, logger: .silent)
            let settings = try await storage.writer.connection.perform(while: "read settings") { db in
                try ["synchronous", "secure_delete", "recursive_triggers", "busy_timeout", "wal_autocheckpoint"].map {
                    try Int.fetchOne(db, sql: "PRAGMA \($0)")
                } + [Int.fetchOne(db, sql: "PRAGMA journal_size_limit")]
            }
            #expect(settings == [value, 1, 0, 5_000, 0, 67_108_864])
            #expect(SQLiteConfiguration(path: nil).synchronous == .full)
            await storage.close()
        }
    }

    @Test("SQ1: foreign keys are enforced on every connection")
    func foreignKeys() async throws {
        try await self.with { test in
            let storage = test.sqlite
            let ofWriter = try await storage.writer.connection.perform(while: "read settings") { db in
                try Bool.fetchOne(db, sql: "PRAGMA foreign_keys")
            }
            #expect(ofWriter == true)
            for connection in storage.readers.connections {
                let ofReader = try await connection.perform(while: "read settings") { db in
                    try [Bool.fetchOne(db, sql: "PRAGMA foreign_keys"), db.configuration.readonly]
                }
                #expect(ofReader == [true, true])
            }
        }
    }

    @Test("SQ2: a pull beside 1,000 pushes sees its own snapshot")
    func snapshotBesideWrites() async throws {
        try await self.with { test in
            let storage = test.storage
            let space = try await test.makeSpace()
            _ = try await storage.push((1...500).map { .fixture($0, "old") }, to: space)
            let records = try await storage.withPull(of: space, since: 0) { snapshot in
                var records: [PullEntry] = []
                for number in 1...1_000 {
                    if number % 100 == 0, let page = try await snapshot.nextPage() { records += page }
                    let change = PushParams.Change.fixture(number, "new", at: number <= 500 ? 1 : 0)
                    _ = try await storage.push([change], to: space)
                }
                while let page = try await snapshot.nextPage() { records += page }
                return records
            }
            #expect(records.count == 500)
            #expect(
                records.allSatisfy { entry in
                    guard case .record(let record) = entry else { return false }
                    return record.cursor == 1 && record.blob == ByteBuffer(string: "old")
                })
        }
    }

    @Test("SQ3: the writer serves 50 pushers in the order in which they came")
    func fairness() async throws {
        try await self.with { test in
            let storage = test.storage
            let spaces = [try await test.makeSpace(), try await test.makeSpace()]
            let order = Order()
            try await withThrowingTaskGroup(of: Void.self) { group in
                try await test.withWritesBlocked(to: spaces[0]) {
                    for pusher in 0..<50 {
                        group.addTask {
                            let changes = try ChangeSet(
                                validating: (0...(pusher % 5)).map { .fixture(pusher * 10 + $0) }, limits: PushLimits())
                            await storage.push(Push(space: spaces[pusher % 2], changes: changes)) { _ in
                                order.append(pusher)
                            }
                            // Back at once, behind all others.
                            _ = try await storage.push([.fixture(pusher * 10 + 9)], to: spaces[pusher % 2])
                            order.append(50 + pusher)
                        }
                        try await test.waitUntil { $0.pushesQueued == pusher + 1 }
                    }
                }
                try await group.waitForAll()
            }
            #expect(Array(order.values.prefix(50)) == Array(0..<50))
            #expect(Set(order.values.dropFirst(50)) == Set(50..<100))
        }
    }

    @Test("SQ4: what was acknowledged is there after a kill")
    func kill() async throws {
        try await self.with({ $0.synchronous = .full }) { test in
            let space = try await test.makeSpace()
            for number in 1...20 { _ = try await test.storage.push([.fixture(number)], to: space) }
            // The files as a process that dies now leaves them: nothing closed, the WAL not copied.
            try await withTemporaryDirectory { directory in
                for suffix in ["", "-wal"] {
                    try FileManager.default.copyItem(
                        atPath: test.sqlite.path + suffix, toPath: directory + "/copy.db" + suffix)
                }
                #expect(fileSize(directory + "/copy.db-wal") > 0)
                let configuration = SQLiteConfiguration(path: directory + "/copy.db", readers: 1)
                let copy = try await SQLiteStorage.open(configuration, logger: .silent)
                #expect(try await copy.collectPull(of: space) == test.storage.collectPull(of: space))
                #expect(try await copy.push([.fixture(21)], to: space).cursor == 21)
                await copy.close()
            }
        }
    }

    @Test("A closed database opens again, without a WAL")
    func reopen() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/deep/er/test.db"
            let configuration = SQLiteConfiguration(path: path, readers: 1)
            var storage = try await SQLiteStorage.open(configuration, logger: .silent)
            let space = try await storage.createSpace(.random(), clientID: "client", rootPublicKey: nil)
            _ = try await storage.push([.fixture(1)], to: space.id)
            await storage.close()
            #expect(FileManager.default.fileExists(atPath: path + "-wal") == false)
            storage = try await SQLiteStorage.open(configuration, logger: .silent)
            #expect(try await storage.collectPull(of: space.id).records.map(\.id) == [.fixture(1)])
            await storage.close()
        }
    }

    @Test("SQ5: a database in use can be opened beside its server, which then has the locks")
    func besideServer() async throws {
        try await withTemporaryDirectory { directory in
            var configuration = SQLiteConfiguration(path: directory + "/test.db", readers: 1)
            let server = try await SQLiteStorage.open(configuration, logger: .silent)
            configuration.lock = .takenIfFree
            let tool = try await SQLiteStorage.open(configuration, logger: .silent)
            #expect(server.sharesFileLocks)
            #expect(!tool.sharesFileLocks)
            let key = FileKey(space: .random(), file: .random())
            try await tool.queueFileDeletion(key)
            #expect(try await server.dueFileDeletions(limit: 1).map(\.file) == [key.file])
            await tool.close()
            // Its closing took nothing from the server.
            await #expect(throws: StorageError.self) {
                _ = try await SQLiteStorage.open(SQLiteConfiguration(path: configuration.path), logger: .silent)
            }
            await server.close()
            let alone = try await SQLiteStorage.open(configuration, logger: .silent)
            #expect(alone.sharesFileLocks)
            await alone.close()
        }
    }

    @Test("A file that is refused gets no lock file beside it, and one that was there stays")
    func refusedLeavesNoLock() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/passwd"
            try Data("root:x:0:0\n".utf8).write(to: URL(fileURLWithPath: path))
            for (path, hadLock) in [(path, false), (directory, false), (path, true)] {
                let lock = path + ".lock"
                if hadLock { try Data().write(to: URL(fileURLWithPath: lock)) }
                let configuration = SQLiteConfiguration(path: path, readers: 1)
                await #expect(throws: StorageError.self) {
                    _ = try await SQLiteStorage.open(configuration, logger: .silent)
                }
                #expect(FileManager.default.fileExists(atPath: lock) == hadLock)
                await #expect(throws: StorageError.self) { _ = try await SQLiteMigrator.status(configuration) }
                #expect(FileManager.default.fileExists(atPath: lock) == hadLock)
            }
        }
    }

    @Test("SQ5: a database in use is refused, and free again after close")
    func secondProcess() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/test.db"
            let configuration = SQLiteConfiguration(path: path, readers: 1)
            let storage = try await SQLiteStorage.open(configuration, logger: .silent)
            let inUse = StorageError.database(
                detail: "another process uses the SQLite database \(path); it holds the lock \(path).lock")
            await #expect(throws: inUse) { try await SQLiteStorage.open(configuration, logger: .silent) }
            await #expect(throws: inUse) { try await SQLiteMigrator.up(configuration) }
            try await storage.ping()
            await storage.close()
            let next = try await SQLiteStorage.open(configuration, logger: .silent)
            await next.close()
        }
    }

    @Test("SQ6: rows carry the time of the injected clock")
    func clock() async throws {
        let first = Date(microseconds: 1_600_000_000_000_001)
        let time = Time(first)
        try await self.with({ $0.now = { time.now } }) { test in
            let space = try await test.makeSpace()
            time.now = Date(microseconds: 1_600_000_000_000_002)
            _ = try await test.storage.push([.fixture(1)], to: space)
            let times = try await test.execute(
                "SELECT created_at, updated_at FROM spaces WHERE id = $1", [.id(space)])
            #expect(times == [[.integer(1_600_000_000_000_001), .integer(1_600_000_000_000_002)]])
            let applied = try await test.execute("SELECT DISTINCT applied_at FROM less_sync_migrations", [])
            #expect(applied == [[.integer(1_600_000_000_000_001)]])
        }
    }

    @Test("A database and its directory are made for their owner alone")
    func permissions() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/data/test.db"
            let storage = try await SQLiteStorage.open(SQLiteConfiguration(path: path), logger: .silent)
            for (file, mode) in [("/data", 0o700), ("/data/test.db", 0o600), ("/data/test.db-wal", 0o600)] {
                #expect(fileMode(directory + file) == mode, "\(file)")
            }
            await storage.close()
        }
    }

    @Test("Without a path the database is temporary")
    func temporary() async throws {
        let storage = try await SQLiteStorage.open(SQLiteConfiguration(path: nil, readers: 1), logger: .silent)
        let space = try await storage.createSpace(.random(), clientID: "client", rootPublicKey: nil)
        #expect(try await storage.push([.fixture(1)], to: space.id).cursor == 1)
        #expect(FileManager.default.fileExists(atPath: storage.path))
        await storage.close()
        #expect(FileManager.default.fileExists(atPath: storage.path) == false)
    }

    @Test("A file that is no database, or cannot be one, is an error")
    func unusable() async throws {
        try await withTemporaryDirectory { directory in
            let garbage = directory + "/garbage.db"
            try Data(repeating: 7, count: 8_192).write(to: URL(filePath: garbage))
            #expect(symlink("nowhere", directory + "/dangling") == 0)
            for path in [garbage, directory, garbage + "/below.db", directory + "/dangling/deep/test.db", ""] {
                let error = await #expect(throws: StorageError.self) {
                    try await SQLiteStorage.open(SQLiteConfiguration(path: path), logger: .silent)
                }
                guard case .database = error else {
                    Issue.record("\(path): \(String(describing: error))")
                    continue
                }
            }
        }
    }

    @Test("A push that SQLite fails does not take others down, and its error quotes no data")
    func isolation() async throws {
        try await self.with { test in
            let storage = test.storage
            let space = try await test.makeSpace()
            try await test.execute(
                """
                CREATE TRIGGER fail BEFORE INSERT ON records WHEN NEW.blob = CAST('secret' AS BLOB)
                BEGIN SELECT RAISE(ABORT, 'secret'); END
                """, [])
            let outcomes = try await withThrowingTaskGroup(of: Result<PushOutcome, any Error>.self) { group in
                try await test.withWritesBlocked(to: space) {
                    for number in 1...9 {
                        group.addTask {
                            do {
                                let blob = number == 5 ? "secret" : "blob"
                                let changes = [PushParams.Change.fixture(number * 10), .fixture(number * 10 + 1, blob)]
                                return .success(try await storage.push(changes, to: space))
                            } catch {
                                return .failure(error)
                            }
                        }
                    }
                    try await test.waitUntil { $0.pushesQueued == 9 }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(outcomes.compactMap { try? $0.get().cursor }.sorted() == Array(1...8))
            let errors = outcomes.compactMap { outcome in
                if case .failure(let error) = outcome { error as? StorageError } else { nil }
            }
            #expect(errors == [.database(detail: "cannot insert a record: constraint failed (1811)")])
            #expect(try await storage.recordExists(.fixture(50), in: space) == false)
            #expect(try await storage.space(space).cursor == 8)
        }
    }

    @Test("A full disk is an error for the pushes it meets, and not for later ones")
    func full() async throws {
        try await self.with { test in
            let space = try await test.makeSpace()
            func limit(to pages: Int) async throws {
                try await test.sqlite.writer.connection.perform(while: "set a limit") { db in
                    try db.execute(sql: "PRAGMA max_page_count = \(pages)")
                }
            }
            _ = try await test.storage.push([.fixture(1)], to: space)
            try await limit(to: 1)  // SQLite raises it to the present size.
            let large = PushParams.Change(
                id: RecordID.fixtureText(2), blob: ByteBuffer(repeating: 1, count: 1_000_000), expectedCursor: 0,
                dek: nil)
            await #expect(
                throws: StorageError.database(detail: "cannot insert a record: database or disk is full (13)")
            ) { try await test.storage.push([.fixture(3), large], to: space) }
            #expect(try await test.storage.collectPull(of: space).records.map(\.id) == [.fixture(1)])
            try await limit(to: 1_000_000)
            #expect(try await test.storage.push([.fixture(3), large], to: space).cursor == 2)
        }
    }

    @Test("A writer kept out for too long is unavailable, and works afterwards")
    func busy() async throws {
        try await self.with({ $0.busyTimeout = .milliseconds(20) }) { test in
            let space = try await test.makeSpace()
            try await test.withWritesBlocked(to: space) {
                await #expect(throws: StorageError.unavailable) {
                    try await test.storage.push([.fixture(1)], to: space)
                }
                await #expect(throws: StorageError.unavailable) {
                    try await test.storage.createSpace(.random(), clientID: "client", rootPublicKey: nil)
                }
            }
            #expect(try await test.storage.push([.fixture(1)], to: space).cursor == 1)
        }
    }

    @Test("A write whose turn does not come in time is unavailable, and not done")
    func writeExpires() async throws {
        try await self.with({ $0.waitLimit = .zero }) { test in
            // Every write is late from the start.
            await #expect(throws: StorageError.unavailable) {
                try await test.storage.createSpace(.random(), clientID: "client", rootPublicKey: nil)
            }
            let rows = try await test.execute("SELECT count(*) FROM spaces", [])
            #expect(rows == [[.integer(0)]])
        }
    }

    @Test("The WAL grown beside a pull starts again after it, and a checkpoint empties it")
    func walGrowth() async throws {
        try await self.with { test in
            let storage = test.storage
            let space = try await test.makeSpace()
            let blob = ByteBuffer(repeating: 5, count: 5_000_000)
            func push(_ number: Int) async throws {
                let id = RecordID.fixtureText(number)
                _ = try await storage.push([.init(id: id, blob: blob, expectedCursor: 0, dek: nil)], to: space)
            }
            try await push(0)
            try await storage.withPull(of: space, since: 0) { snapshot in
                for number in 1...16 { try await push(number) }
                #expect(fileSize(test.sqlite.path + "-wal") > 80_000_000)
                try await test.sqlite.checkpoint()
                #expect(fileSize(test.sqlite.path + "-wal") > 80_000_000)
                #expect(try await snapshot.nextPage()?.count == 1)
            }
            try await push(17)
            #expect(fileSize(test.sqlite.path + "-wal") <= 67_108_864)
            try await test.sqlite.checkpoint()
            #expect(fileSize(test.sqlite.path + "-wal") == 0)
            #expect(try await storage.collectPull(of: space).entries.count == 18)
        }
    }

    @Test("Numbers outside their range are an error, not a trap")
    func ranges() async throws {
        try await self.with { test in
            let space = try await test.makeSpace()
            try await test.execute(
                "UPDATE spaces SET cursor = $1 WHERE id = $2", [.integer(.max), .id(space)])
            await #expect(
                throws: StorageError.database(detail: "cannot write: the cursor of the space is at its end")
            ) { try await test.storage.push([.fixture(1)], to: space) }
            try await test.execute(
                "UPDATE spaces SET key_generation = $1 WHERE id = $2", [.integer(1 << 40), .id(space)])
            await #expect(throws: StorageError.database(detail: "cannot read a space: a number is out of range")) {
                try await test.storage.space(space)
            }
        }
    }

    @Test("A damaged id is an error, not a trap")
    func damagedID() async throws {
        try await self.with { test in
            let space = try await test.makeSpace()
            _ = try await test.storage.push([.fixture(1)], to: space)
            try await test.execute("PRAGMA ignore_check_constraints = ON", [])
            try await test.execute("UPDATE records SET id = x'01'", [])
            await #expect(
                throws: StorageError.database(detail: "cannot read a page of a pull: an id is not 16 bytes long")
            ) { try await test.storage.collectPull(of: space) }
            try await test.storage.ping()
        }
    }

    @Test("The console reads and writes every kind of value")
    func console() async throws {
        try await self.with { test in
            let console = try await SQLiteConsole(path: test.sqlite.path)
            let values: [SQLiteValue] = [
                .null, .integer(-5), .text("é"), .blob(ByteBuffer()), .blob(ByteBuffer(bytes: [1])),
            ]
            #expect(try await console.execute("SELECT ?, ?, ?, ?, ?", values) == [values])
            #expect(try await console.execute("SELECT 1.5") == [[.text("1.5")]])
            await #expect(throws: StorageError.database(detail: "cannot run a statement: SQL logic error (1)")) {
                try await console.execute("SELECT FROM")
            }
            try await console.close()
            await #expect(throws: StorageError.unavailable) { try await console.execute("SELECT 1") }
        }
    }
}

private func fileMode(_ path: String) -> Int {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_mode & 0o777) : -1
}

private func fileSize(_ path: String) -> Int {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_size) : -1
}
