import NIOCore
import SyncAuth
import SyncClient
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

/// Devices that sync through a whole server.
@Suite("Sync, end to end", .timeLimit(.minutes(1)))
struct SyncTests {
    @Test(
        "Two devices of a user see each other's changes, a third one pulls them all", arguments: TestBackend.available)
    func devices(on backend: TestBackend) async throws {
        try await backend.withServer { server in
            let user = Principal.fixture()
            let space = try #require(user.personalSpace).wireText
            let (a, b) = (try await server.connect(as: user), try await server.connect(as: user))
            for device in [a, b] { _ = try await device.subscribe([.init(id: space)]) }

            for number in 1...20 {
                let (sender, receiver) = number.isMultiple(of: 2) ? (a, b) : (b, a)
                let params = PushParams(space: space, changes: [.fixture(number, "blob \(number)")])
                #expect(try await sender.push(params) == .accepted(cursor: Int64(number)))
                guard case .sync(let sync) = await receiver.nextEvent() else {
                    Issue.record("no notification of push \(number)")
                    return
                }
                #expect(sync.cursor == Int64(number))
                #expect(sync.prev == Int64(number - 1))
                #expect(sync.records.map(\.blob) == [ByteBuffer(string: "blob \(number)")])
            }

            try await server.withClient(user) { device in
                let records = try await device.records(of: space)
                #expect(records.map(\.id) == (1...20).map { RecordID.fixture($0) })
                #expect(records.map(\.cursor) == Array(1...20))
            }
            for device in [a, b] { await device.close() }
        }
    }

    @Test("A device that was away pulls what it missed and nothing else", arguments: TestBackend.available)
    func catchUp(on backend: TestBackend) async throws {
        try await backend.withServer { server in
            let user = Principal.fixture()
            let space = try #require(user.personalSpace).wireText
            try await server.withClient(user) { device in
                _ = try await device.push(PushParams(space: space, changes: [.fixture(1), .fixture(2)]))
                _ = try await device.push(PushParams(space: space, changes: [.fixture(3)]))
                _ = try await device.push(PushParams(space: space, changes: [.fixture(1, nil, at: 1)]))
            }
            try await server.withClient(user) { device in
                let records = try await device.records(of: space, since: 1)
                #expect(records.map(\.id) == [3, 1].map { RecordID.fixture($0) })
                #expect(records.map(\.deleted) == [false, true])
            }
        }
    }

    @Test("PSH-6: a push reaches the other connection once and its own never", arguments: TestBackend.available)
    func broadcast(on backend: TestBackend) async throws {
        try await Self.withSpace(on: backend, cursor: 76) { server, user, space in
            let (other, pusher) = (try await server.connect(as: user), try await server.connect(as: user))
            for device in [other, pusher] { _ = try await device.subscribe([.init(id: space)]) }
            let change = PushParams.Change(
                id: RecordID.fixtureText(1), blob: ByteBuffer(bytes: [7, 8, 9]), expectedCursor: 0, dek: nil)
            #expect(try await pusher.push(PushParams(space: space, changes: [change])) == .accepted(cursor: 77))

            // The pusher's first event is what the other one says afterwards, and so is the other's end.
            #expect(
                try await other.push(PushParams(space: space, changes: [.fixture(2)])) == .accepted(cursor: 78))
            let (atOther, atPusher) = (await other.nextEvent(), await pusher.nextEvent())
            guard case .sync(let first) = atOther, case .sync(let second) = atPusher else {
                Issue.record("\(String(describing: atOther)), \(String(describing: atPusher))")
                return
            }
            #expect(first.prev == 76)
            #expect(first.cursor == 77)
            #expect(first.records.map(\.id) == [.fixture(1)])
            #expect(first.records.map(\.blob) == [change.blob])
            #expect(second.cursor == 78)
            await other.close()
            #expect(await other.nextEvent() == nil)
            await pusher.close()
        }
    }

    @Test("PUL-1: begin, record, commit", arguments: TestBackend.available)
    func pull(on backend: TestBackend) async throws {
        try await Self.withSpace(on: backend, cursor: 100) { server, user, space in
            try await server.withClient(user) { device in
                let result = try await device.push(PushParams(space: space, changes: [.fixture(1)]))
                #expect(result == .accepted(cursor: 101))
            }
            let client = try await server.wire(as: user)
            client.request("req-1", .pull, PullParams(spaces: [.init(id: space, since: 0)]))
            var names: [String] = []
            while case .chunk(id: "req-1", let name, let data) = try await client.next() {
                names.append(name)
                switch try #require(ChunkName(rawValue: name)) {
                case .pullBegin: #expect((try data.decode() as PullBegin).cursor == 101)
                case .pullRecord: #expect((try data.decode() as RecordEntry).cursor == 101)
                case .pullCommit:
                    let commit: PullCommit = try data.decode()
                    #expect(commit.cursor == 101)
                    #expect(commit.count == 1)
                    #expect(try await client.result(of: "req-1", as: ChunkCount.self).chunks == 3)
                    #expect(names == ["pull.begin", "pull.record", "pull.commit"])
                    await client.close()
                    return
                case .pullMembership, .pullFile, .deksRecord, .deksFilesRecord: Issue.record("\(name)")
                }
            }
            Issue.record("no commit")
        }
    }

    @Test("TOK-3: a token of the same user is taken, and the connection goes on")
    func refresh() async throws {
        try await TestBackend.sqlite.withServer { server in
            let user = Principal.fixture()
            try await server.withClient(user) { device in
                try await device.refreshToken(server.tokens.issue(user))
                let space = try #require(user.personalSpace).wireText
                #expect(
                    try await device.push(PushParams(space: space, changes: [.fixture(1)])) == .accepted(cursor: 1))
            }
        }
    }

    /// A server whose user owns a space that has come to `cursor`.
    private static func withSpace(
        on backend: TestBackend, cursor: Int64,
        _ body: (InProcessServer.Running, Principal, String) async throws -> Void
    ) async throws {
        let user = Principal.fixture()
        let space = try #require(user.personalSpace)
        try await TestDatabaseURL.with(backend) { database in
            try await database.prepare { storage in
                _ = try await storage.storage.createSpace(space, clientID: user.clientID, rootPublicKey: nil)
                try await storage.execute(
                    "UPDATE spaces SET cursor = $1 WHERE id = $2", [.integer(cursor), .id(space)])
            }
            try await InProcessServer(database).run { server in try await body(server, user, space.wireText) }
        }
    }
}

extension SyncClient {
    /// Every record of a space, in the order of the pull.
    func records(of space: String, since: Int64 = 0) async throws -> [RecordEntry] {
        var records: [RecordEntry] = []
        try await self.pull([.init(id: space, since: since)]) { chunk in
            if case .record(let record) = chunk { records.append(record) }
        }
        return records
    }
}
