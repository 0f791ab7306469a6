import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@Suite("Push", .timeLimit(.minutes(5)))
struct PushTests {
    @Test("PU1: a new record moves the cursor to 1", arguments: TestBackend.available)
    func create(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            let outcome = try await test.storage.push([.fixture(1)], to: space)
            #expect(outcome == .accepted(PushReceipt(cursor: 1, keyGeneration: 1, rewrapEpoch: nil, removedFiles: [])))
            #expect(try await test.storage.space(space).cursor == 1)
        }
    }

    @Test("PU1: the receipt carries the epochs of the space", arguments: TestBackend.available)
    func receipt(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSharedSpace(keyGeneration: 4, minKeyGeneration: 2)
            try await test.setRewrapEpoch(of: space, to: 4)
            let outcome = try await test.storage.push([.fixture(1)], to: space)
            #expect(outcome == .accepted(PushReceipt(cursor: 1, keyGeneration: 4, rewrapEpoch: 4)))
        }
    }

    @Test("PU2: creating a record that exists is a conflict", arguments: TestBackend.available)
    func createTwice(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            _ = try await test.storage.push([.fixture(1, "first")], to: space)
            #expect(try await test.storage.push([.fixture(1, "second")], to: space) == .conflict)
            let pull = try await test.storage.collectPull(of: space)
            #expect(pull.records.map(\.blob) == [ByteBuffer(string: "first")])
        }
    }

    @Test("PU3: an update with the record's cursor replaces it", arguments: TestBackend.available)
    func update(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            _ = try await test.storage.push([.fixture(1, "old", dek: .wrappedDEK(fill: 1))], to: space)
            let update = PushParams.Change.fixture(1, "new", at: 1, dek: .wrappedDEK(fill: 2))
            #expect(try await test.storage.push([update], to: space).cursor == 2)
            #expect(
                try await test.storage.collectPull(of: space).entries == [
                    .record(
                        PulledRecord(
                            id: .fixture(1), blob: ByteBuffer(string: "new"), cursor: 2,
                            wrappedDEK: .wrappedDEK(fill: 2), deleted: false))
                ])
        }
    }

    @Test("PU3: an update without a DEK clears it", arguments: TestBackend.available)
    func updateClearsDEK(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            _ = try await test.storage.push([.fixture(1, "old", dek: .wrappedDEK())], to: space)
            _ = try await test.storage.push([.fixture(1, "new", at: 1)], to: space)
            #expect(
                try await test.recordRow(.fixture(1), in: space)
                    == RecordRow(blob: ByteBuffer(string: "new"), cursor: 2, wrappedDEK: nil, deleted: false))
        }
    }

    @Test("PU4: an update with an older cursor is a conflict", arguments: TestBackend.available)
    func staleUpdate(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            _ = try await test.storage.push([.fixture(1, "one")], to: space)
            _ = try await test.storage.push([.fixture(1, "two", at: 1)], to: space)
            #expect(try await test.storage.push([.fixture(1, "three", at: 1)], to: space) == .conflict)
            #expect(try await test.recordRow(.fixture(1), in: space)?.blob == ByteBuffer(string: "two"))
        }
    }

    @Test("PU5: an update of an unknown record is a conflict", arguments: TestBackend.available)
    func updateUnknown(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            #expect(try await test.storage.push([.fixture(1, at: 5)], to: space) == .conflict)
            #expect(try await test.storage.space(space).cursor == 0)
        }
    }

    @Test("PU6: a deleted record is a tombstone for whoever had it", arguments: TestBackend.available)
    func delete(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            _ = try await test.storage.push([.fixture(1)], to: space)
            #expect(try await test.storage.push([.fixture(1, nil, at: 1)], to: space).cursor == 2)
            let tombstone = PulledRecord(id: .fixture(1), blob: nil, cursor: 2, wrappedDEK: nil, deleted: true)
            #expect(try await test.storage.collectPull(of: space, since: 1).entries == [.record(tombstone)])
            #expect(try await test.storage.collectPull(of: space, since: 0).entries.isEmpty)
        }
    }

    @Test("PU7: creating over a tombstone is a conflict", arguments: TestBackend.available)
    func createOverTombstone(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            _ = try await test.storage.push([.fixture(1)], to: space)
            _ = try await test.storage.push([.fixture(1, nil, at: 1)], to: space)
            #expect(try await test.storage.push([.fixture(1)], to: space) == .conflict)
            #expect(try await test.recordRow(.fixture(1), in: space)?.deleted == true)
        }
    }

    @Test("PU8: a write with the tombstone's cursor revives the record", arguments: TestBackend.available)
    func revive(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            _ = try await test.storage.push([.fixture(1)], to: space)
            _ = try await test.storage.push([.fixture(1, nil, at: 1)], to: space)
            #expect(try await test.storage.push([.fixture(1, "again", at: 2)], to: space).cursor == 3)
            #expect(
                try await test.recordRow(.fixture(1), in: space)
                    == RecordRow(blob: ByteBuffer(string: "again"), cursor: 3, wrappedDEK: nil, deleted: false))
        }
    }

    @Test("PU9: one conflicting change undoes the whole push", arguments: TestBackend.available)
    func allOrNothing(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            _ = try await test.storage.push([.fixture(1, "first")], to: space)
            for changes in [
                [PushParams.Change.fixture(2), .fixture(1)], [.fixture(1), .fixture(2)],
                [.fixture(1, nil, at: 1), .fixture(2, at: 7)],
            ] {
                #expect(try await test.storage.push(changes, to: space) == .conflict)
            }
            #expect(try await test.storage.recordExists(.fixture(2), in: space) == false)
            #expect(try await test.recordRow(.fixture(1), in: space)?.blob == ByteBuffer(string: "first"))
            #expect(try await test.storage.space(space).cursor == 1)
        }
    }

    @Test("PU10: the records of one push share its cursor", arguments: TestBackend.available)
    func batch(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            let changes = [PushParams.Change.fixture(1), .fixture(2), .fixture(3)]
            #expect(try await test.storage.push(changes, to: space).cursor == 1)
            #expect(try await test.storage.collectPull(of: space).records.map(\.cursor) == [1, 1, 1])
        }
    }

    @Test("PU10: creates, updates and deletes go in one push", arguments: TestBackend.available)
    func mixedBatch(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            _ = try await test.storage.push([.fixture(1, "one"), .fixture(2, "two")], to: space)
            let changes = [
                PushParams.Change.fixture(1, "uno", at: 1), .fixture(2, nil, at: 1), .fixture(3, "tre"),
                .fixture(4, nil),
            ]
            #expect(try await test.storage.push(changes, to: space).cursor == 2)
            let records = try await test.storage.collectPull(of: space, since: 1).records
            #expect(records.map(\.id) == [.fixture(1), .fixture(2), .fixture(3), .fixture(4)])
            #expect(records.map(\.blob) == [ByteBuffer(string: "uno"), nil, ByteBuffer(string: "tre"), nil])
            #expect(records.map(\.deleted) == [false, true, false, true])
        }
    }

    @Test("PU11: an unknown space is not found, even by an empty push", arguments: TestBackend.available)
    func unknownSpace(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            for changes in [[], [PushParams.Change.fixture(1)]] {
                await #expect(throws: StorageError.spaceNotFound) {
                    try await test.storage.push(changes, to: .random())
                }
            }
        }
    }

    @Test("PU13: a blob of 5 MiB is stored and comes back", arguments: TestBackend.available)
    func largestBlob(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            let blob = ByteBuffer(bytes: (0..<5_242_880).map { UInt8(truncatingIfNeeded: $0 &* 31) })
            let change = PushParams.Change(id: RecordID.fixtureText(1), blob: blob, expectedCursor: 0, dek: nil)
            #expect(try await test.storage.push([change], to: space).cursor == 1)
            #expect(try await test.storage.collectPull(of: space).records.map(\.blob) == [blob])
        }
    }

    @Test("PU15: an empty push returns the cursor and does not move it", arguments: TestBackend.available)
    func empty(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            #expect(try await test.storage.push([], to: space).cursor == 0)
            _ = try await test.storage.push([.fixture(1)], to: space)
            #expect(try await test.storage.push([], to: space).cursor == 1)
            #expect(try await test.storage.space(space).cursor == 1)
        }
    }

    @Test("PU16: deleting a record removes the rows of its files and names them", arguments: TestBackend.available)
    func deleteWithFiles(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            _ = try await test.storage.push([.fixture(1), .fixture(2)], to: space)
            let files = [FileID.random(), .random(), .random()]
            try await test.insertFile(.fixture(files[0], of: .fixture(1), cursor: 2), into: space)
            try await test.insertFile(.fixture(files[1], of: .fixture(1), cursor: 3), into: space)
            try await test.insertFile(.fixture(files[2], of: .fixture(2), cursor: 4), into: space)
            let receipt = try await test.storage.push([.fixture(1, nil, at: 1)], to: space).receipt
            #expect(receipt?.cursor == 5)
            #expect(receipt.map { Set($0.removedFiles) } == [files[0], files[1]])
            #expect(receipt?.removedFiles.count == 2)
            #expect(try await test.fileExists(files[0], in: space) == false)
            #expect(try await test.fileExists(files[1], in: space) == false)
            #expect(try await test.fileExists(files[2], in: space))
        }
    }

    @Test("PU17: a live update leaves the files of the record", arguments: TestBackend.available)
    func updateWithFiles(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            _ = try await test.storage.push([.fixture(1)], to: space)
            let file = FileID.random()
            try await test.insertFile(.fixture(file, of: .fixture(1), cursor: 2), into: space)
            #expect(try await test.storage.push([.fixture(1, "new", at: 1)], to: space).receipt?.removedFiles == [])
            #expect(try await test.fileExists(file, in: space))
        }
    }

    @Test("PU18: two spaces do not mix", arguments: TestBackend.available)
    func twoSpaces(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let (left, right) = (try await test.makeSpace(), try await test.makeSpace())
            #expect(try await test.storage.push([.fixture(1, "left")], to: left).cursor == 1)
            #expect(try await test.storage.push([.fixture(2, "right")], to: right).cursor == 1)
            let (leftPull, rightPull) = (
                try await test.storage.collectPull(of: left), try await test.storage.collectPull(of: right)
            )
            #expect(leftPull.records.map(\.id) == [.fixture(1)])
            #expect(leftPull.records.map(\.blob) == [ByteBuffer(string: "left")])
            #expect(rightPull.records.map(\.id) == [.fixture(2)])
            #expect(rightPull.records.map(\.blob) == [ByteBuffer(string: "right")])
        }
    }

    @Test(
        "PU19: below the minimum key generation of a shared space nothing is written", arguments: TestBackend.available)
    func staleKeyGeneration(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSharedSpace(keyGeneration: 2, minKeyGeneration: 2)
            await #expect(throws: StorageError.keyGenerationStale) {
                try await test.storage.push([.fixture(1)], to: space, keyGeneration: 1)
            }
            // It comes before the conflict check.
            await #expect(throws: StorageError.keyGenerationStale) {
                try await test.storage.push([.fixture(1, at: 9)], to: space, keyGeneration: 1)
            }
            #expect(try await test.storage.recordExists(.fixture(1), in: space) == false)
            #expect(try await test.storage.space(space).cursor == 0)
            #expect(try await test.storage.push([.fixture(1)], to: space, keyGeneration: 2).cursor == 1)
            #expect(try await test.storage.push([.fixture(2)], to: space, keyGeneration: 0).cursor == 2)
            #expect(try await test.storage.push([.fixture(3)], to: space, keyGeneration: -1).cursor == 3)
            #expect(try await test.storage.push([], to: space, keyGeneration: 1).cursor == 3)
        }
    }

    @Test("PU20: a personal space has no minimum key generation", arguments: TestBackend.available)
    func personalKeyGeneration(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            try await test.setKeyGenerations(of: space, current: 2, minimum: 2)
            #expect(try await test.storage.push([.fixture(1)], to: space, keyGeneration: 1).cursor == 1)
        }
    }

    @Test("PU21: a blob of no bytes is a live record", arguments: TestBackend.available)
    func emptyBlob(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            _ = try await test.storage.push([.fixture(1, ""), .fixture(2, "", dek: ByteBuffer())], to: space)
            let records = try await test.storage.collectPull(of: space).records
            #expect(records.map(\.blob) == [ByteBuffer(), ByteBuffer()])
            #expect(records.map(\.wrappedDEK) == [nil, ByteBuffer()])
            #expect(records.map(\.deleted) == [false, false])
        }
    }

    @Test("PU22: deleting an unknown record stores a tombstone", arguments: TestBackend.available)
    func deleteUnknown(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            _ = try await test.storage.push([.fixture(1)], to: space)
            #expect(try await test.storage.push([.fixture(2, nil)], to: space).cursor == 2)
            #expect(try await test.storage.recordExists(.fixture(2), in: space))
            #expect(try await test.storage.collectPull(of: space, since: 0).records.map(\.id) == [.fixture(1)])
            let later = try await test.storage.collectPull(of: space, since: 1).records
            #expect(later.map(\.id) == [.fixture(2)] && later.map(\.deleted) == [true])
        }
    }

    @Test("PU23: an upper-case id is the same record in canonical form", arguments: TestBackend.available)
    func upperCase(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            let id = "D205899B-B9FB-4D6E-8159-8578661A574C"
            let change = PushParams.Change(id: id, blob: ByteBuffer(string: "x"), expectedCursor: 0, dek: nil)
            _ = try await test.storage.push([change], to: space)
            let records = try await test.storage.collectPull(of: space).records
            #expect(records.map(\.id.wireText) == ["d205899b-b9fb-4d6e-8159-8578661a574c"])
        }
    }

    @Test("PU26: a negative expected cursor is a conflict", arguments: TestBackend.available)
    func negativeCursor(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            _ = try await test.storage.push([.fixture(1)], to: space)
            for cursor in [-1, Int64.min] {
                #expect(try await test.storage.push([.fixture(1, "new", at: cursor)], to: space) == .conflict)
                #expect(try await test.storage.push([.fixture(2, "new", at: cursor)], to: space) == .conflict)
            }
        }
    }

    @Test("PU27: the same record id in another space is another record", arguments: TestBackend.available)
    func sameIDElsewhere(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let (left, right) = (try await test.makeSpace(), try await test.makeSpace())
            _ = try await test.storage.push([.fixture(1, "left")], to: left)
            #expect(try await test.storage.push([.fixture(1, "right")], to: right).cursor == 1)
            #expect(try await test.storage.push([.fixture(1, nil, at: 1)], to: right).cursor == 2)
            #expect(
                try await test.recordRow(.fixture(1), in: left)
                    == RecordRow(blob: ByteBuffer(string: "left"), cursor: 1, wrappedDEK: nil, deleted: false))
            #expect(try await test.storage.space(left).cursor == 1)
        }
    }

    @Test("PU28: a tombstone keeps no DEK", arguments: TestBackend.available)
    func tombstoneDEK(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            _ = try await test.storage.push([.fixture(1, dek: .wrappedDEK())], to: space)
            _ = try await test.storage.push(
                [.fixture(1, nil, at: 1, dek: .wrappedDEK()), .fixture(2, nil, dek: .wrappedDEK())], to: space)
            let tombstone = RecordRow(blob: nil, cursor: 2, wrappedDEK: nil, deleted: true)
            #expect(try await test.recordRow(.fixture(1), in: space) == tombstone)
            #expect(try await test.recordRow(.fixture(2), in: space) == tombstone)
        }
    }

    @Test("PU29: a push repeated is a conflict and changes nothing", arguments: TestBackend.available)
    func replay(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            let changes = [PushParams.Change.fixture(1), .fixture(2)]
            _ = try await test.storage.push(changes, to: space)
            let before = try await test.storage.collectPull(of: space)
            #expect(try await test.storage.push(changes, to: space) == .conflict)
            #expect(try await test.storage.collectPull(of: space) == before)
        }
    }

    @Test("A push with a creator makes the missing personal space", arguments: TestBackend.available)
    func creator(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let (space, other) = (SpaceID.random(), SpaceID.random())
            let first = try await test.storage.push([.fixture(1)], to: space, creator: "client")
            #expect(first.cursor == 1)
            #expect(try await test.storage.push([.fixture(2)], to: space, creator: "another").cursor == 2)
            #expect(try await test.storage.space(space) == Space(id: space, clientID: "client", cursor: 2))
            #expect(try await test.storage.push([], to: other, creator: "client").cursor == 0)
            #expect(try await test.storage.space(other) == Space(id: other, clientID: "client"))
        }
    }

    @Test("A push with a creator that conflicts makes no space", arguments: TestBackend.available)
    func creatorConflict(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = SpaceID.random()
            for changes in [[PushParams.Change.fixture(1, at: 4)], [.fixture(1), .fixture(2, at: 4)]] {
                let outcome = try await test.storage.push(changes, to: space, creator: "client")
                #expect(outcome == .conflict)
            }
            await #expect(throws: StorageError.spaceNotFound) { try await test.storage.space(space) }
        }
    }

    @Test("RE1–RE4: a record exists in its space, also as a tombstone", arguments: TestBackend.available)
    func recordExists(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let (space, other) = (try await test.makeSpace(), try await test.makeSpace())
            let storage = test.storage
            #expect(try await storage.recordExists(.fixture(1), in: space) == false)
            #expect(try await storage.recordExists(.fixture(1), in: .random()) == false)
            _ = try await storage.push([.fixture(1)], to: space)
            #expect(try await storage.recordExists(.fixture(1), in: space))
            #expect(try await storage.recordExists(.fixture(1), in: other) == false)
            _ = try await storage.push([.fixture(1, nil, at: 1)], to: space)
            #expect(try await storage.recordExists(.fixture(1), in: space))
        }
    }
}
