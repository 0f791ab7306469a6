import Logging
import NIOCore
import SyncAuth
import SyncClient
import SyncProtocol
import SyncStorage
import SyncStoragePostgres
import SyncTesting
import Testing

/// Server processes that share one PostgreSQL database (docs/decisions/0012).
@Suite(
    "Two servers on one database, end to end", .timeLimit(.minutes(2)),
    .enabled(if: TestBackend.available.contains(.postgres), "the PostgreSQL programs are not installed"))
struct TwoServersTests {
    private func withTwo(
        logger: Logger? = nil,
        _ body: (TestDatabaseURL, InProcessServer.Running, InProcessServer.Running) async throws -> Void
    ) async throws {
        try await TestDatabaseURL.with(.postgres) { database in
            var first = try InProcessServer(database)
            if let logger { first.logger = logger }
            try await first.run { one in
                try await InProcessServer(database).run { two in
                    // Both listen, and have compared what they know with the database.
                    try await Self.untilListening(2, database)
                    try await body(database, one, two)
                }
            }
        }
    }

    /// Waits until so many connections have listened and done something since.
    private static func untilListening(_ count: Int64, _ database: TestDatabaseURL) async throws {
        let console = try await PostgresConsole(url: database.url)
        defer { console.close() }
        try await eventually("servers listen") {
            let rows = try await console.execute(
                """
                SELECT count(*) FROM pg_stat_activity
                WHERE application_name = current_setting('application_name') AND pid <> pg_backend_pid()
                    AND (query = 'SELECT 1' OR query LIKE '%pg_notify(%')
                """)
            guard case .integer(let listening)? = rows.first?.first else { return false }
            return listening >= count
        }
    }

    private func syncs(
        _ count: Int, of client: SyncClient, within limit: Duration = .seconds(60)
    ) async throws -> [SyncNotification] {
        try await SyncTesting.within(limit, "\(count) notifications") {
            var syncs: [SyncNotification] = []
            while syncs.count < count {
                guard case .sync(let sync) = await client.nextEvent() else { break }
                syncs.append(sync)
            }
            return syncs
        }
    }

    @Test("NTF-5: who is connected to another server hears of a push, with all that it holds; its sender does not")
    func heard() async throws {
        try await self.withTwo { _, one, two in
            let user = Principal.fixture()
            let space = try #require(user.personalSpace).wireText
            let (here, there) = (try await one.connect(as: user), try await two.connect(as: user))
            for device in [here, there] { _ = try await device.subscribe([.init(id: space)]) }
            for number in 1...20 {
                let (sender, receiver) = number.isMultiple(of: 2) ? (here, there) : (there, here)
                let changes: [PushParams.Change] = [
                    .fixture(number * 2, "blob \(number)", dek: .wrappedDEK(epoch: 1)), .fixture(number * 2 + 1),
                ]
                #expect(
                    try await sender.push(PushParams(space: space, changes: changes))
                        == .accepted(cursor: Int64(number)))
                let sync = try #require(try await self.syncs(1, of: receiver).first)
                #expect(sync.cursor == Int64(number) && sync.prev == Int64(number - 1))
                #expect(sync.keyGeneration == 1 && sync.rewrapEpoch == nil)
                #expect(sync.records.map(\.id) == [.fixture(number * 2), .fixture(number * 2 + 1)])
                #expect(sync.records.first?.blob == ByteBuffer(string: "blob \(number)"))
                #expect(sync.records.first?.dek == .wrappedDEK(epoch: 1))
            }
            let tombstone = PushParams.Change.fixture(2, nil, at: 1)
            _ = try await here.push(PushParams(space: space, changes: [tombstone]))
            let sync = try #require(try await self.syncs(1, of: there).first)
            #expect(sync.cursor == 21 && sync.records.map(\.deleted) == [true])
            for device in [here, there] { await device.close() }
        }
    }

    @Test(
        "While changes of the other server cannot be read, what comes after them waits: no subscriber is left with a gap"
    )
    func unreadable() async throws {
        let log = LogRecorder()
        try await self.withTwo(logger: log.logger(.warning)) { database, one, two in
            let user = Principal.fixture()
            let space = try #require(user.personalSpace).wireText
            let (here, there) = (try await one.connect(as: user), try await two.connect(as: user))
            let listener = try await one.connect(as: user)
            _ = try await listener.subscribe([.init(id: space)])
            func push(_ number: Int, by sender: SyncClient) async throws {
                let push = PushParams(space: space, changes: [.fixture(number)])
                #expect(try await sender.push(push) == .accepted(cursor: Int64(number)))
            }
            try await push(1, by: here)
            #expect(try await self.syncs(1, of: listener).map(\.cursor) == [1])
            // Pulls need the table, pushes do not.
            let console = try await PostgresConsole(url: database.url)
            defer { console.close() }
            try await console.execute("ALTER TABLE files RENAME TO files_away")
            try await push(2, by: there)
            try await push(3, by: here)
            // The first attempt may have been under way before the third push, the next one is not.
            let failures = { log.lines.count { $0.contains("Changes of other servers cannot be read") } }
            let before = failures()
            try await eventually("the changes could not be read") { failures() >= before + 2 }
            try await console.execute("ALTER TABLE files_away RENAME TO files")
            #expect(try await self.syncs(2, of: listener).map(\.cursor) == [2, 3])
            for device in [here, there, listener] { await device.close() }
        }
    }

    @Test("A cursor that no server has announced harms nobody: what is committed after it is heard of at both servers")
    func falseAnnouncement() async throws {
        try await self.withTwo { database, one, two in
            let user = Principal.fixture()
            let space = try #require(user.personalSpace)
            let (here, there) = (try await one.connect(as: user), try await two.connect(as: user))
            for device in [here, there] { _ = try await device.subscribe([.init(id: space.wireText)]) }
            func push(_ number: Int, by sender: SyncClient, heardBy receiver: SyncClient) async throws {
                let push = PushParams(space: space.wireText, changes: [.fixture(number)])
                #expect(try await sender.push(push) == .accepted(cursor: Int64(number)))
                #expect(try await self.syncs(1, of: receiver).map(\.cursor) == [Int64(number)])
            }
            try await push(1, by: here, heardBy: there)
            let digits = space.wireText.replacing("-", with: "")
            let console = try await PostgresConsole(url: database.url)
            defer { console.close() }
            for cursor in [Int64(50), .max] {
                try await console.execute(
                    """
                    DO $$ BEGIN PERFORM pg_notify(
                        'less_sync_' || current_schema()::regnamespace::oid::text,
                        '1 \(digits) \(cursor)'); END $$
                    """)
            }
            for number in stride(from: 2, to: 10, by: 2) {
                try await push(number, by: there, heardBy: here)
                try await push(number + 1, by: here, heardBy: there)
            }
            for device in [here, there] { await device.close() }
        }
    }

    @Test(
        "W3: while both servers push to one space, every subscriber of either hears of each push once, in cursor order")
    func interleaved() async throws {
        try await self.withTwo { _, one, two in
            let user = Principal.fixture()
            let space = try #require(user.personalSpace).wireText
            let pushes = 60
            try await within(.seconds(90), "all pushes and notifications") {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for server in [one, two, one, two] {
                        let listener = try await server.connect(as: user)
                        _ = try await listener.subscribe([.init(id: space)])
                        group.addTask {
                            let syncs = try await self.syncs(pushes * 4, of: listener)
                            #expect(syncs.map(\.cursor) == (1...pushes * 4).map { Int64($0) })
                            #expect(syncs.map(\.prev) == (0..<pushes * 4).map { Int64($0) })
                            #expect(syncs.allSatisfy { $0.records.count == 1 })
                            await listener.close()
                        }
                    }
                    for (index, server) in [one, one, two, two].enumerated() {
                        group.addTask {
                            try await server.withClient(user) { pusher in
                                for number in 0..<pushes {
                                    let change = PushParams.Change.fixture(index * 1_000 + number)
                                    let result = try await pusher.push(PushParams(space: space, changes: [change]))
                                    guard case .accepted = result else {
                                        Issue.record("\(result)")
                                        return
                                    }
                                }
                            }
                        }
                    }
                    try await group.waitForAll()
                }
            }
        }
    }

    @Test("NTF-3: a file that another process recorded is told to the subscribers of both servers, in cursor order")
    func files() async throws {
        try await self.withTwo { database, one, two in
            let user = Principal.fixture()
            let space = try #require(user.personalSpace)
            let (here, there) = (try await one.connect(as: user), try await two.connect(as: user))
            for device in [here, there] { _ = try await device.subscribe([.init(id: space.wireText)]) }
            func push(_ number: Int) async throws -> PushResult {
                try await here.push(PushParams(space: space.wireText, changes: [.fixture(number)]))
            }
            #expect(try await push(1) == .accepted(cursor: 1))
            let file = NewFile(
                space: space, id: .random(), recordID: .fixture(1), size: 5, wrappedDEK: .wrappedDEK(epoch: 1))
            // The third process announces nothing: the next push brings it to light.
            try await PostgresTestStorage.with(PostgresConfiguration(url: database.url, poolSize: 3)) { third in
                let cursor = try await third.storage.recordFile(file)
                #expect(cursor == 2)
            }
            #expect(try await push(2) == .accepted(cursor: 3))
            let notification = FileNotification(
                space: space, cursor: 2,
                files: [.init(id: file.id, recordID: .fixture(1), size: 5, dek: .wrappedDEK(epoch: 1))])
            let heardHere = try await within(.seconds(60), "a file") { await here.nextEvent() }
            #expect(heardHere == .file(notification))
            let heardThere = try await within(.seconds(60), "two pushes and a file") {
                [await there.nextEvent(), await there.nextEvent(), await there.nextEvent()]
            }
            guard case .sync(let first) = heardThere[0], case .sync(let last) = heardThere[2] else {
                Issue.record("\(heardThere)")
                return
            }
            #expect(first.cursor == 1 && heardThere[1] == .file(notification) && last.cursor == 3)
            for device in [here, there] { await device.close() }
        }
    }

    @Test("One record overwritten again and again: the others hear of later cursors, and the last one is the record's")
    func overwritten() async throws {
        try await self.withTwo { _, one, two in
            let user = Principal.fixture()
            let space = try #require(user.personalSpace).wireText
            let listener = try await two.connect(as: user)
            _ = try await listener.subscribe([.init(id: space)])
            try await one.withClient(user) { pusher in
                for cursor in 0..<100 as Range<Int64> {
                    let change = PushParams.Change.fixture(1, "blob \(cursor)", at: cursor)
                    _ = try await pusher.push(PushParams(space: space, changes: [change]))
                }
            }
            var told: Int64 = 0
            while told < 100 {
                let sync = try #require(try await self.syncs(1, of: listener).first)
                // Each follows what was told before; or says that there is something to pull.
                #expect(sync.prev == told || sync.prev == sync.cursor && sync.records.isEmpty)
                #expect(sync.cursor > told)
                told = sync.cursor
            }
            #expect(told == 100)
            await listener.close()
        }
    }

    @Test("After all connections to PostgreSQL were cut, subscribers hear of what was pushed meanwhile")
    func cut() async throws {
        try await self.withTwo { database, one, two in
            let user = Principal.fixture()
            let space = try #require(user.personalSpace).wireText
            let listener = try await two.connect(as: user)
            let pusher = try await one.connect(as: user)
            _ = try await listener.subscribe([.init(id: space)])
            for round in 1...3 as ClosedRange<Int64> {
                try await Self.cutConnections(of: database)
                try await eventually("a push is accepted again") {
                    let change = PushParams.Change.fixture(Int(round))
                    switch try await pusher.push(PushParams(space: space, changes: [change])) {
                    case .accepted: return true
                    // The one before was written, and its answer was lost.
                    case .refused(.conflict): return true
                    case .refused: return false
                    }
                }
                let sync = try #require(try await self.syncs(1, of: listener).first)
                #expect(sync.cursor == round && sync.prev == round - 1)
                #expect(sync.records.map(\.id) == [.fixture(Int(round))])
            }
            await pusher.close()
            await listener.close()
        }
    }

    @Test("What nobody has announced is found when listening begins again")
    func unannounced() async throws {
        try await self.withTwo { database, one, two in
            let user = Principal.fixture()
            let space = try #require(user.personalSpace)
            let (here, there) = (try await one.connect(as: user), try await two.connect(as: user))
            for device in [here, there] { _ = try await device.subscribe([.init(id: space.wireText)]) }
            // A process that tells the others nothing.
            try await database.prepare { test in
                for number in 1...3 { _ = try await test.storage.push([.fixture(number)], to: space) }
            }
            try await Self.cutConnections(of: database)
            for device in [here, there] {
                // Before the spaces are compared with the database for want of anything better.
                let syncs = try await self.syncs(3, of: device, within: .seconds(30))
                #expect(syncs.map(\.cursor) == [1, 2, 3] && syncs.map(\.prev) == [0, 1, 2])
            }
            for device in [here, there] { await device.close() }
        }
    }

    /// A space of alice's, who is connected to one server; bob and carol watch it from the other.
    private struct Sharing {
        let space = SpaceID.random()
        let alice: SyncClient
        let bob: SyncClient
        let carol: SyncClient

        init(_ one: InProcessServer.Running, _ two: InProcessServer.Running) async throws {
            func person(_ name: String) -> Principal {
                var person = Principal.fixture(name)
                person.did = TestDelegation.did(name)
                return person
            }
            self.alice = try await one.connect(as: person("alice"))
            self.bob = try await two.connect(as: person("bob"))
            self.carol = try await two.connect(as: person("carol"))
            _ = try await self.alice.createSpace(self.space, rootPublicKey: TestDelegation.rootKey("alice"))
        }

        func chain(_ name: String) -> String {
            TestDelegation.chain(["alice", name], name == "alice" ? .admin : .read, over: self.space)
        }

        func watch(_ client: SyncClient, with chain: String) async throws {
            let answer = try await client.subscribe([.init(id: self.space.wireText, ucan: chain)])
            #expect(answer.errors.isEmpty)
        }

        func push(_ number: Int) async throws {
            let params = PushParams(
                space: self.space.wireText, ucan: self.chain("alice"), changes: [.fixture(number)])
            #expect(try await self.alice.push(params) == .accepted(cursor: Int64(number)))
        }

        /// What came, up to the change with this cursor.
        func events(of client: SyncClient, through cursor: Int64) async throws -> [String] {
            try await within(.seconds(60), "change \(cursor)") {
                var events: [String] = []
                while let event = await client.nextEvent() {
                    switch event {
                    case .sync(let sync): events.append("sync \(sync.cursor)")
                    case .revoked: events.append("revoked")
                    default: events.append("\(event)")
                    }
                    if events.last == "sync \(cursor)" { break }
                }
                return events
            }
        }

        /// Everything that has come, when nothing more can.
        func rest(of client: SyncClient) async -> [String] {
            await client.close()
            var events: [String] = []
            while let event = await client.nextEvent() {
                events.append(event == .revoked(RevokedNotification(space: self.space)) ? "revoked" : "\(event)")
            }
            return events
        }
    }

    @Test("C3, MRV-10: who is revoked through one server hears nothing more through the other, whose others do")
    func revoked() async throws {
        try await self.withTwo { _, one, two in
            let sharing = try await Sharing(one, two)
            let bobs = sharing.chain("bob")
            try await sharing.watch(sharing.bob, with: bobs)
            try await sharing.watch(sharing.carol, with: sharing.chain("carol"))
            try await sharing.push(1)
            #expect(try await sharing.events(of: sharing.bob, through: 1) == ["sync 1"])
            try await sharing.alice.revoke(
                TestDelegation.cid(of: bobs), in: sharing.space, ucan: sharing.chain("alice"))
            try await sharing.push(2)
            #expect(try await sharing.events(of: sharing.carol, through: 2) == ["sync 1", "revoked", "sync 2"])
            #expect(await sharing.rest(of: sharing.bob) == ["revoked"])
            await sharing.alice.close()
            await sharing.carol.close()
        }
    }

    @Test("C3: a revocation that nobody has announced ends subscriptions when listening begins again")
    func unheardRevocation() async throws {
        try await self.withTwo { database, one, two in
            let sharing = try await Sharing(one, two)
            let bobs = sharing.chain("bob")
            try await sharing.watch(sharing.bob, with: bobs)
            try await sharing.watch(sharing.carol, with: sharing.chain("carol"))
            try await database.prepare { test in
                _ = try await test.execute(
                    "INSERT INTO revocations (space_id, ucan_cid) VALUES ($1, $2)",
                    [.id(sharing.space), .text(TestDelegation.cid(of: bobs))])
            }
            try await Self.cutConnections(of: database)
            let event = try await within(.seconds(30), "bob is told") { await sharing.bob.nextEvent() }
            #expect(event == .revoked(RevokedNotification(space: sharing.space)))
            try await sharing.push(1)
            #expect(try await sharing.events(of: sharing.carol, through: 1) == ["revoked", "sync 1"])
            #expect(await sharing.rest(of: sharing.bob) == [])
            await sharing.alice.close()
            await sharing.carol.close()
        }
    }

    private static func cutConnections(of database: TestDatabaseURL) async throws {
        let console = try await PostgresConsole(url: database.url)
        defer { console.close() }
        try await console.execute(
            """
            SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
            WHERE application_name = current_setting('application_name') AND pid <> pg_backend_pid()
            """)
    }

    @Test("A subscriber that comes while the other server pushes misses nothing behind the cursor of its answer")
    func comingLate() async throws {
        try await self.withTwo { _, one, two in
            let user = Principal.fixture()
            let space = try #require(user.personalSpace).wireText
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try await one.withClient(user) { pusher in
                        for number in 1...150 {
                            _ = try await pusher.push(PushParams(space: space, changes: [.fixture(number)]))
                        }
                    }
                }
                for _ in 0..<10 {
                    let listener = try await two.connect(as: user)
                    let answer = try await listener.subscribe([.init(id: space)])
                    let known = try #require(answer.spaces.first?.cursor)
                    group.addTask {
                        var told = known
                        while told < 150 {
                            let sync = try #require(try await self.syncs(1, of: listener).first)
                            // What others on this server were told meanwhile may lie below.
                            guard sync.cursor > told else { continue }
                            #expect(sync.prev == told || sync.prev == sync.cursor && sync.records.isEmpty)
                            told = sync.cursor
                        }
                        await listener.close()
                    }
                }
                try await group.waitForAll()
            }
        }
    }
}
