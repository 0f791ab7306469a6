import NIOCore
import SyncAuth
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncCore

/// What the HTTP routes ask of a space.
@Suite("Files of a space", .timeLimit(.minutes(5)))
struct SpaceFileTests {
    private let alice = Principal.fixture("alice", scopes: ["sync", "files"])

    private func record(
        _ id: FileID, size: Int64 = 5, of record: Int = 1, _ harness: EngineHarness
    ) async throws -> Int64? {
        try await harness.engine.services.spaces.recordFile(
            id, of: .fixture(record), size: size, wrappedDEK: .wrappedDEK(epoch: 1),
            in: try await harness.grant(alice))
    }

    @Test(
        "NTF-3, NTF-4, Δ-H7: every subscriber of the space hears of a file, once, the uploader's connections included",
        arguments: TestBackend.available)
    func announced(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let (own, other) = (try await harness.subscriber(alice), try await harness.subscriber(alice))
            let stranger = try await harness.subscriber(.fixture("bob"))
            _ = try await own.push([.fixture(1)], to: alice.space)
            let (file, empty) = (FileID.random(), FileID.random())
            #expect(try await self.record(file, harness) == 2)
            #expect(try await self.record(file, harness) == nil)
            #expect(try await self.record(empty, size: 0, harness) == 3)
            #expect(try await other.notification().cursor == 1)
            for watcher in [own, other] {
                for (id, size, cursor) in [(file, 5, 2), (empty, 0, 3)] as [(FileID, Int64, Int64)] {
                    #expect(
                        try await watcher.hear(.file)
                            == FileNotification(
                                space: alice.space, cursor: cursor,
                                files: [
                                    .init(
                                        id: id, recordID: .fixture(1), size: size, dek: .wrappedDEK(epoch: 1))
                                ]))
                }
                #expect(try await watcher.takeNotifications().isEmpty)
            }
            #expect(try await stranger.takeNotifications().isEmpty)
        }
    }

    @Test("What could not be recorded is told to nobody, and the cursor stays", arguments: TestBackend.available)
    func failed(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let watcher = try await harness.subscriber(alice)
            let spaces = harness.engine.services.spaces
            let grant = try await harness.grant(alice)
            await #expect(throws: StorageError.invalidWrappedDEK) {
                try await spaces.recordFile(
                    .random(), of: .fixture(1), size: 5, wrappedDEK: ByteBuffer(), in: grant)
            }
            await #expect(throws: StorageError.invalidFileSize) {
                try await spaces.recordFile(
                    .random(), of: .fixture(1), size: -1, wrappedDEK: .wrappedDEK(), in: grant)
            }
            await #expect(throws: StorageError.self) { try await self.record(.random(), harness) }
            #expect(try await watcher.takeNotifications().isEmpty)
            #expect(try await harness.storage.space(alice.space).cursor == 0)
        }
    }

    @Test(
        "wire §13: files, pushes and appends of a space are told in cursor order", arguments: TestBackend.available)
    func order(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let (watcher, pusher) = (try await harness.subscriber(alice), harness.connect(alice))
            _ = try await pusher.push((1...10).map { .fixture($0) }, to: alice.space)
            try await withThrowingTaskGroup { group in
                for number in 1...20 {
                    group.addTask { _ = try await self.record(.random(), of: 1 + number % 10, harness) }
                }
                group.addTask {
                    for number in 11...30 { _ = try await pusher.push([.fixture(number)], to: alice.space) }
                }
                try await group.waitForAll()
            }
            var cursors: [Int64] = []
            while cursors.count < 41 {
                let (method, params) = try await watcher.nextNotification()
                switch method {
                case "sync": cursors.append(try params.decode(as: SyncNotification.self).cursor)
                case "file": cursors.append(try params.decode(as: FileNotification.self).cursor)
                default: throw UnexpectedFrame(description: method)
                }
            }
            #expect(cursors == Array(1...41))
            let pulled = try await pusher.pull(alice.space).chunks.dropFirst().dropLast()
            #expect(pulled.count { $0.name == "pull.file" } == 20)
            let order = try pulled.map { chunk in
                chunk.name == "pull.file"
                    ? try chunk.data.decode(as: PullFile.self).cursor
                    : try chunk.data.decode(as: RecordEntry.self).cursor
            }
            #expect(order == order.sorted() && Set(order) == Set(1...41))
        }
    }

    @Test("Rows of files, records and spaces, for whoever may see them", arguments: TestBackend.available)
    func lookups(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let spaces = harness.engine.services.spaces
            let writing = try await harness.grant(alice)
            let reading = try await harness.engine.services.authorizer.authorizeRead(
                alice, of: alice.space, ucan: "")
            let file = FileID.random()
            await #expect(throws: StorageError.spaceNotFound) { try await harness.storage.space(alice.space) }
            try await spaces.firstContact(reading)
            try await spaces.firstContact(writing)
            #expect(try await harness.storage.space(alice.space).clientID == alice.clientID)
            await #expect(throws: StorageError.fileNotFound) { try await spaces.file(file, in: reading) }
            #expect(try await !spaces.recordExists(.fixture(1), in: writing))
            _ = try await harness.connect(alice).push([.fixture(1)], to: alice.space)
            #expect(try await spaces.recordExists(.fixture(1), in: writing))
            let cursor = try await spaces.withFileLock(file, in: writing) {
                #expect(try await !spaces.fileExists(file, in: writing))
                return try await self.record(file, harness)
            }
            #expect(cursor == 2)
            #expect(try await spaces.fileExists(file, in: writing))
            #expect(
                try await spaces.file(file, in: reading)
                    == FileMetadata(
                        id: file, recordID: .fixture(1), size: 5, wrappedDEK: .wrappedDEK(epoch: 1), cursor: 2))
        }
    }

    @Test(
        "PU16, Δ-S7: a push that takes files away says so after its commit, another one does not",
        arguments: TestBackend.available)
    func removed(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            _ = try await client.push([.fixture(1), .fixture(2)], to: alice.space)
            let file = FileID.random()
            #expect(try await self.record(file, harness) == 2)
            _ = try await client.push([.fixture(2, nil, at: 1)], to: alice.space)
            #expect(try await client.push([.fixture(1, nil, at: 9)], to: alice.space) == .refused(.conflict))
            #expect(harness.removals.value == 0)
            _ = try await client.push([.fixture(1, nil, at: 1)], to: alice.space)
            try await client.settle()
            #expect(harness.removals.value == 1)
            #expect(try await harness.storage.dueFileDeletions(limit: 9).map(\.file) == [file])
            #expect(try await client.pull(alice.space).chunks.map(\.name) == ["pull.begin", "pull.commit"])
        }
    }

    @Test("A file of a shared space is told to its members", arguments: TestBackend.available)
    func shared(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let space = try await SharedSpace.create(harness)
            try await harness.write([.fixture(1)], to: space.id)
            let bob = harness.connect(SharedSpace.principal("bob"))
            _ = try await bob.subscribe(space.id, ucan: space.chain("bob", permission: .read))
            let grant = try await harness.engine.services.authorizer.authorizeWrite(
                SharedSpace.principal("alice"), to: space.id, ucan: space.chain("alice"))
            let file = FileID.random()
            #expect(
                try await harness.engine.services.spaces.recordFile(
                    file, of: .fixture(1), size: 1, wrappedDEK: .wrappedDEK(epoch: 1), in: grant) == 2)
            let told = try await bob.hear(.file, as: FileNotification.self)
            #expect(told.space == space.id && told.files.map(\.id) == [file])
        }
    }
}
