import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Synchronization
import Testing

@Suite("Membership log", .timeLimit(.minutes(5)))
struct MembershipTests {
    private func hash(_ number: Int) -> ByteBuffer { ByteBuffer(repeating: UInt8(number), count: 32) }

    /// The entry of this number, which follows the one before it.
    private func entry(
        _ number: Int, in space: SpaceID, version: Int? = nil, previous: ByteBuffer? = nil, creator: String? = nil
    ) -> MemberAppend {
        MemberAppend(
            space: space, expectedVersion: Int32(version ?? number - 1),
            previousHash: previous ?? (number == 1 ? ByteBuffer() : self.hash(number - 1)),
            entryHash: self.hash(number), payload: ByteBuffer(string: "member \(number)"), creator: creator)
    }

    private func pulled(_ number: Int, cursor: Int64) -> PulledMember {
        PulledMember(
            chainSequence: Int32(number), cursor: cursor,
            previousHash: number == 1 ? ByteBuffer() : self.hash(number - 1), entryHash: self.hash(number),
            payload: ByteBuffer(string: "member \(number)"))
    }

    @Test("ME1: entries follow one another, and the list shows them", arguments: TestBackend.available)
    func append(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeSharedSpace()
            #expect(
                try await storage.appendMember(self.entry(1, in: space))
                    == MemberReceipt(chainSequence: 1, metadataVersion: 1, cursor: 1))
            #expect(
                try await storage.appendMember(self.entry(2, in: space))
                    == MemberReceipt(chainSequence: 2, metadataVersion: 2, cursor: 2))
            let log = try await storage.members(of: space, since: 0, bytesMax: 1_000)
            #expect(
                log
                    == MemberLog(
                        entries: [self.pulled(1, cursor: 1), self.pulled(2, cursor: 2)], metadataVersion: 2,
                        isComplete: true))
            #expect(try await storage.space(space).metadataVersion == 2)
            let rows = try await test.execute(
                "SELECT prev_hash FROM members WHERE space_id = $1 ORDER BY chain_seq", [.id(space)])
            #expect(rows == [[.null], [.bytes(self.hash(1))]])
        }
    }

    @Test("ME2: an unexpected version is a conflict, even with a wrong hash", arguments: TestBackend.available)
    func version(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSharedSpace()
            for previous in [ByteBuffer(), self.hash(9)] {
                await #expect(throws: StorageError.versionConflict) {
                    try await test.storage.appendMember(self.entry(1, in: space, version: 999, previous: previous))
                }
            }
            _ = try await test.storage.appendMember(self.entry(1, in: space))
            for version in [0, 2, -1] {
                await #expect(throws: StorageError.versionConflict) {
                    try await test.storage.appendMember(self.entry(2, in: space, version: version))
                }
            }
        }
    }

    @Test("ME3: the first entry has no previous hash", arguments: TestBackend.available)
    func firstWithHash(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSharedSpace()
            await #expect(throws: StorageError.hashChainBroken) {
                try await test.storage.appendMember(self.entry(1, in: space, previous: self.hash(1)))
            }
        }
    }

    @Test("ME4, ME9: a wrong or missing previous hash leaves everything as it was", arguments: TestBackend.available)
    func broken(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeSharedSpace()
            _ = try await storage.appendMember(self.entry(1, in: space))
            let before = try await storage.space(space)
            for previous in [ByteBuffer(), self.hash(2), ByteBuffer(repeating: 1, count: 31)] {
                await #expect(throws: StorageError.hashChainBroken) {
                    try await storage.appendMember(self.entry(2, in: space, previous: previous))
                }
            }
            await #expect(throws: StorageError.versionConflict) {
                try await storage.appendMember(self.entry(2, in: space, version: 0))
            }
            #expect(try await storage.space(space) == before)
            #expect(try await storage.members(of: space, since: 0, bytesMax: 1_000).entries.count == 1)
            #expect(try await storage.appendMember(self.entry(2, in: space)).chainSequence == 2)
        }
    }

    @Test("ME5: an unknown space is not found", arguments: TestBackend.available)
    func unknown(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            await #expect(throws: StorageError.spaceNotFound) {
                try await test.storage.appendMember(self.entry(1, in: .random()))
            }
            await #expect(throws: StorageError.spaceNotFound) {
                try await test.storage.members(of: .random(), since: 0, bytesMax: 1_000)
            }
        }
    }

    @Test("ME6, ME7: a list begins behind an entry, and may be empty", arguments: TestBackend.available)
    func since(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeSharedSpace()
            let empty = MemberLog(entries: [], metadataVersion: 0, isComplete: true)
            #expect(try await storage.members(of: space, since: 0, bytesMax: 1_000) == empty)
            for number in 1...3 { _ = try await storage.appendMember(self.entry(number, in: space)) }
            for (since, first) in [(2, 3), (1, 2), (0, 1), (-1, 1), (Int(Int32.min), 1)] {
                let log = try await storage.members(of: space, since: Int32(since), bytesMax: 1_000)
                #expect(log.entries == (first...3).map { self.pulled($0, cursor: Int64($0)) })
                #expect(log.metadataVersion == 3 && log.isComplete)
            }
            for since in [3, Int32.max] {
                let log = try await storage.members(of: space, since: since, bytesMax: 1_000)
                #expect(log == MemberLog(entries: [], metadataVersion: 3, isComplete: true))
            }
        }
    }

    @Test("A list ends before the entry that would exceed its bytes", arguments: TestBackend.available)
    func bytes(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeSharedSpace()
            for number in 1...3 { _ = try await storage.appendMember(self.entry(number, in: space)) }
            // Entries of 32 + 8, then 64 + 8 bytes.
            for (bytesMax, count) in [(0, 0), (39, 0), (40, 1), (111, 1), (112, 2), (183, 2), (184, 3)] {
                let log = try await storage.members(of: space, since: 0, bytesMax: bytesMax)
                #expect(log.entries.count == count && log.isComplete == (count == 3), "\(bytesMax) bytes")
                #expect(log.metadataVersion == 3)
            }
        }
    }

    @Test("ME8: an append moves the cursor by one, and a pull shows it there", arguments: TestBackend.available)
    func pull(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeSharedSpace()
            _ = try await storage.push([.fixture(1)], to: space)
            #expect(try await storage.appendMember(self.entry(1, in: space)).cursor == 2)
            _ = try await storage.push([.fixture(2)], to: space)
            #expect(try await storage.appendMember(self.entry(2, in: space)).cursor == 4)
            let pull = try await storage.collectPull(of: space)
            #expect(pull.meta.cursor == 4)
            #expect(pull.entries.map(\.cursor) == [1, 2, 3, 4])
            #expect(pull.entries[1] == .member(self.pulled(1, cursor: 2)))
            #expect(pull.entries[3] == .member(self.pulled(2, cursor: 4)))
            #expect(
                try await storage.collectPull(of: space, since: 3).entries == [.member(self.pulled(2, cursor: 4))])
        }
    }

    @Test("ME10: what is accepted forms a chain, whatever is refused in between", arguments: TestBackend.available)
    func chain(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeSharedSpace()
            var random = SystemRandomNumberGenerator()
            var length = 0
            for _ in 0..<60 {
                var append = self.entry(length + 1, in: space)
                append.entryHash = self.hash(length + 1)
                switch Int.random(in: 0..<4, using: &random) {
                case 0:
                    append.expectedVersion += Bool.random(using: &random) ? 1 : -1
                    await #expect(throws: StorageError.versionConflict) { try await storage.appendMember(append) }
                case 1:
                    append.previousHash = self.hash(length + 100)
                    await #expect(throws: StorageError.hashChainBroken) { try await storage.appendMember(append) }
                default:
                    length += 1
                    #expect(try await storage.appendMember(append).chainSequence == Int32(length))
                }
            }
            let entries = try await storage.members(of: space, since: 0, bytesMax: 100_000).entries
            #expect(entries == (0..<length).map { self.pulled($0 + 1, cursor: Int64($0 + 1)) })
            let row = try await storage.space(space)
            #expect(row.metadataVersion == Int32(length) && row.cursor == Int64(length))
        }
    }

    @Test("An append creates a missing personal space, unless it is refused", arguments: TestBackend.available)
    func creates(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = SpaceID.random()
            await #expect(throws: StorageError.versionConflict) {
                try await storage.appendMember(self.entry(1, in: space, version: 1, creator: "client"))
            }
            await #expect(throws: StorageError.hashChainBroken) {
                try await storage.appendMember(self.entry(1, in: space, previous: self.hash(3), creator: "client"))
            }
            await #expect(throws: StorageError.spaceNotFound) { try await storage.space(space) }
            let receipt = try await storage.appendMember(self.entry(1, in: space, creator: "client"))
            #expect(receipt == MemberReceipt(chainSequence: 1, metadataVersion: 1, cursor: 1))
            #expect(
                try await storage.space(space)
                    == Space(id: space, clientID: "client", metadataVersion: 1, cursor: 1))
            #expect(try await storage.appendMember(self.entry(2, in: space, creator: "other")).chainSequence == 2)
            #expect(try await storage.space(space).clientID == "client")
        }
    }

    @Test("An append after close is unavailable", arguments: TestBackend.available)
    func closed(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSharedSpace()
            await test.storage.close()
            await #expect(throws: StorageError.unavailable) {
                try await test.storage.appendMember(self.entry(1, in: space))
            }
            await #expect(throws: StorageError.unavailable) {
                try await test.storage.members(of: space, since: 0, bytesMax: 1)
            }
        }
    }

    @Test("CO5: of 20 appends with one expected version one succeeds", arguments: TestBackend.available)
    func race(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeSharedSpace()
            _ = try await storage.appendMember(self.entry(1, in: space))
            let errors = await withTaskGroup(of: StorageError?.self) { group in
                for _ in 0..<20 {
                    group.addTask {
                        do throws(StorageError) {
                            _ = try await storage.appendMember(self.entry(2, in: space))
                            return nil
                        } catch {
                            return error
                        }
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(errors.count { $0 == nil } == 1)
            #expect(errors.count { $0 == .versionConflict } == 19)
            let log = try await storage.members(of: space, since: 0, bytesMax: 1_000)
            #expect(log.entries == [self.pulled(1, cursor: 1), self.pulled(2, cursor: 2)])
            #expect(try await storage.space(space).cursor == 2)
        }
    }

    @Test(
        "W3: appends and pushes of one space are reported in the order of their cursors",
        arguments: TestBackend.available)
    func reportOrder(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeSharedSpace()
            let reported = CursorLog()
            await withTaskGroup { group in
                for number in 1...60 {
                    group.addTask {
                        guard let changes = try? ChangeSet(validating: [.fixture(number)], limits: PushLimits()) else {
                            return
                        }
                        await storage.push(Push(space: space, changes: changes)) { outcome in
                            reported.add(try? outcome.get().cursor)
                        }
                    }
                }
                group.addTask { () async in
                    for number in 1...20 {
                        await storage.appendMember(self.entry(number, in: space)) { outcome in
                            reported.add(try? outcome.get().cursor)
                        }
                    }
                }
            }
            #expect(reported.cursors == Array(1...80))
            let pull = try await storage.collectPull(of: space)
            #expect(pull.entries.map(\.cursor) == Array(1...80))
            #expect(pull.records.count == 60)
        }
    }
}

private final class CursorLog: Sendable {
    private let state = Mutex<[Int64]>([])

    var cursors: [Int64] { self.state.withLock { $0 } }

    func add(_ cursor: Int64?) {
        if let cursor { self.state.withLock { $0.append(cursor) } }
    }
}
