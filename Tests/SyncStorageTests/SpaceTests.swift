import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@Suite("Spaces", .timeLimit(.minutes(5)))
struct SpaceTests {
    @Test("SP1: a personal space starts with the defaults", arguments: TestBackend.available)
    func create(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let id = SpaceID.random()
            let created = try await test.storage.createSpace(id, clientID: "client", rootPublicKey: nil)
            #expect(
                created
                    == Space(
                        id: id, clientID: "client", rootPublicKey: nil, keyGeneration: 1, minKeyGeneration: 1,
                        metadataVersion: 0, cursor: 0, rewrapEpoch: nil, homeServer: nil))
            #expect(try await test.storage.space(id) == created)
        }
    }

    @Test("SP2: an unknown space is not found", arguments: TestBackend.available)
    func unknown(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            await #expect(throws: StorageError.spaceNotFound) { try await test.storage.space(.random()) }
        }
    }

    @Test("SP3: creating a space twice fails and leaves the first", arguments: TestBackend.available)
    func exists(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let id = SpaceID.random()
            let first = try await test.storage.createSpace(id, clientID: "first", rootPublicKey: nil)
            for clientID in ["second", "first"] {
                await #expect(throws: StorageError.spaceExists) {
                    try await test.storage.createSpace(id, clientID: clientID, rootPublicKey: nil)
                }
            }
            #expect(try await test.storage.space(id) == first)
        }
    }

    @Test("SP4: get-or-create twice gives the same space", arguments: TestBackend.available)
    func getOrCreate(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let id = SpaceID.random()
            let first = try await test.storage.getOrCreateSpace(id, clientID: "client")
            #expect(first == Space(id: id, clientID: "client"))
            #expect(try await test.storage.getOrCreateSpace(id, clientID: "client") == first)
        }
    }

    @Test("SP5: get-or-create keeps the client of an existing space", arguments: TestBackend.available)
    func getOrCreateOtherClient(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let id = SpaceID.random()
            let first = try await test.storage.getOrCreateSpace(id, clientID: "first")
            #expect(try await test.storage.getOrCreateSpace(id, clientID: "second") == first)
        }
    }

    @Test("SP6: get-or-create returns a shared space unchanged", arguments: TestBackend.available)
    func getOrCreateShared(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let id = try await test.makeSharedSpace(keyGeneration: 3, minKeyGeneration: 2)
            let space = try await test.storage.space(id)
            #expect(space.keyGeneration == 3 && space.minKeyGeneration == 2)
            #expect(try await test.storage.getOrCreateSpace(id, clientID: "other") == space)
        }
    }

    @Test("SP7: of several spaces the known ones are returned, once each", arguments: TestBackend.available)
    func several(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let (first, second) = (try await test.makeSpace(clientID: "a"), try await test.makeSharedSpace())
            let found = try await test.storage.spaces([first, .random(), second, first])
            #expect(
                found == [
                    first: try await test.storage.space(first), second: try await test.storage.space(second),
                ])
        }
    }

    @Test("SP7: a thousand spaces are read at once", arguments: TestBackend.available)
    func many(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let known = try await test.makeSpace()
            let ids = (0..<1_000).map { _ in SpaceID.random() } + [known]
            #expect(try await Array(test.storage.spaces(ids).keys) == [known])
        }
    }

    @Test("SP8: no ids give no spaces, without a database", arguments: TestBackend.available)
    func none(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            await test.storage.close()
            let found = try await test.storage.spaces([])
            #expect(found.isEmpty)
        }
    }

    @Test("SP9: the root key of a shared space is stored", arguments: TestBackend.available)
    func shared(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let id = SpaceID.random()
            let key = ByteBuffer(bytes: (0..<33).map { UInt8($0) })
            let created = try await test.storage.createSpace(id, clientID: "client", rootPublicKey: key)
            #expect(created == Space(id: id, clientID: "client", rootPublicKey: key))
            #expect(try await test.storage.space(id) == created)
        }
    }

    @Test("SP10: ping answers, and after close everything is unavailable", arguments: TestBackend.available)
    func ping(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeSpace()
            try await storage.ping()
            await storage.close()
            await #expect(throws: StorageError.unavailable) { try await storage.ping() }
            await #expect(throws: StorageError.unavailable) { try await storage.space(space) }
            await #expect(throws: StorageError.unavailable) { try await storage.spaces([space]) }
            await #expect(throws: StorageError.unavailable) { try await storage.recordExists(.fixture(1), in: space) }
            await #expect(throws: StorageError.unavailable) { try await storage.push([.fixture(1)], to: space) }
            await #expect(throws: StorageError.unavailable) { try await storage.collectPull(of: space) }
            await #expect(throws: StorageError.unavailable) {
                try await storage.createSpace(.random(), clientID: "client", rootPublicKey: nil)
            }
            await #expect(throws: StorageError.unavailable) {
                try await storage.getOrCreateSpace(space, clientID: "client")
            }
            await storage.close()
        }
    }

    @Test("SP11: one value offers every group of operations", arguments: TestBackend.available)
    func umbrella(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage: any Storage = test.storage
            let id = SpaceID.random()
            let created = try await storage.createSpace(id, clientID: "client", rootPublicKey: nil)
            #expect(try await storage.space(id) == created)
            #expect(try await storage.push([.fixture(1)], to: id).cursor == 1)
        }
    }

    @Test("CO3: of 20 tasks that create one space one succeeds", arguments: TestBackend.available)
    func createRace(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let id = SpaceID.random()
            let created = await withTaskGroup(of: Result<Space, StorageError>.self) { group in
                for task in 0..<20 {
                    group.addTask {
                        do throws(StorageError) {
                            return .success(
                                try await storage.createSpace(id, clientID: "client \(task)", rootPublicKey: nil))
                        } catch {
                            return .failure(error)
                        }
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            let winners = created.compactMap { try? $0.get() }
            #expect(created.count { $0 == .failure(.spaceExists) } == 19)
            let stored = try await storage.space(id)
            #expect(winners == [stored])
        }
    }

    @Test("CO3: 20 tasks that get or create one space all get the same one", arguments: TestBackend.available)
    func getOrCreateRace(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let id = SpaceID.random()
            let spaces = try await withThrowingTaskGroup(of: Space.self) { group in
                for task in 0..<20 {
                    group.addTask { try await storage.getOrCreateSpace(id, clientID: "client \(task)") }
                }
                return try await group.reduce(into: Set()) { $0.insert($1) }
            }
            let stored = try await storage.space(id)
            #expect(spaces == [stored])
        }
    }

    @Test("A creator may have any name", arguments: TestBackend.available)
    func creatorName(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            for name in ["a\0b", "", "🙂"] {
                let (created, found) = (SpaceID.random(), SpaceID.random())
                _ = try await test.storage.createSpace(created, clientID: name, rootPublicKey: nil)
                _ = try await test.storage.getOrCreateSpace(found, clientID: name)
                let changes = try ChangeSet(validating: [.fixture(1)], limits: PushLimits())
                let pushed = try await test.storage.push(Push(space: .random(), changes: changes, creator: name))
                #expect(pushed.receipt != nil)
            }
        }
    }
}
