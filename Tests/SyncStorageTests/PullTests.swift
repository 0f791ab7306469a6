import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@Suite("Pull", .timeLimit(.minutes(2)))
struct PullTests {
    @Test("PL1: an empty space has no entries", arguments: TestBackend.available)
    func empty(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            let pull = try await test.storage.collectPull(of: space)
            #expect(pull == CollectedPull(meta: PullMeta(cursor: 0, keyGeneration: 1), entries: []))
        }
    }

    @Test("PL2: an unknown space is not found before there is a snapshot", arguments: TestBackend.available)
    func unknownSpace(on backend: TestBackend) async throws {
        try await backend.withStorage(poolSize: 1) { test in
            await #expect(throws: StorageError.spaceNotFound) {
                try await test.storage.withPull(of: .random(), since: 0) { _ in
                    Issue.record("There is nothing to read.")
                }
            }
            try await test.storage.ping()
        }
    }

    @Test("PL3: records of one push come sorted by id", arguments: TestBackend.available)
    func sorted(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            _ = try await test.storage.push([.fixture(3), .fixture(1), .fixture(2)], to: space)
            let pull = try await test.storage.collectPull(of: space)
            #expect(pull.records.map(\.id) == [.fixture(1), .fixture(2), .fixture(3)])
        }
    }

    @Test("PL3, SQ7: random ids come in the order of their bytes", arguments: TestBackend.available)
    func sortedRandom(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            let ids = (0..<500).map { _ in RecordID.random() }
            let changes = ids.map { id in
                PushParams.Change(id: id.wireText, blob: ByteBuffer(), expectedCursor: 0, dek: nil)
            }
            _ = try await test.storage.push(changes, to: space)
            #expect(try await test.storage.collectPull(of: space).records.map(\.id) == ids.sorted())
        }
    }

    @Test("PL4: record, member and file come in the order of their cursors", arguments: TestBackend.available)
    func kinds(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            _ = try await test.storage.push([.fixture(1, "one", dek: .wrappedDEK())], to: space)
            let (first, second) = (PulledMember.fixture(1, cursor: 2), PulledMember.fixture(2, cursor: 4))
            let file = PulledFile.fixture(of: .fixture(1), cursor: 3)
            try await test.insertMember(first, into: space)
            try await test.insertFile(file, into: space)
            try await test.insertMember(second, into: space)
            _ = try await test.storage.push([.fixture(2, "two")], to: space)
            let pull = try await test.storage.collectPull(of: space)
            #expect(pull.meta == PullMeta(cursor: 5, keyGeneration: 1, rewrapEpoch: nil))
            #expect(
                pull.entries == [
                    .record(
                        PulledRecord(
                            id: .fixture(1), blob: ByteBuffer(string: "one"), cursor: 1, wrappedDEK: .wrappedDEK(),
                            deleted: false)),
                    .member(first), .file(file), .member(second),
                    .record(
                        PulledRecord(
                            id: .fixture(2), blob: ByteBuffer(string: "two"), cursor: 5, wrappedDEK: nil,
                            deleted: false)),
                ])
            #expect(try await test.storage.collectPull(of: space, since: 2).entries == Array(pull.entries[2...]))
        }
    }

    @Test("PL4: the kinds stay in order over many pages", arguments: TestBackend.available)
    func kindsOverPages(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            var expected: [Int64] = []
            for round in 0..<30 {
                let cursor = Int64(round * 3 + 1)
                let changes = (0..<7).map { PushParams.Change.fixture(round * 10 + $0) }
                #expect(try await test.storage.push(changes, to: space).cursor == cursor)
                try await test.insertMember(.fixture(Int32(round + 1), cursor: cursor + 1), into: space)
                try await test.insertFile(.fixture(of: .fixture(round * 10), cursor: cursor + 2), into: space)
                expected += Array(repeating: cursor, count: 7) + [cursor + 1, cursor + 2]
            }
            let pull = try await test.storage.collectPull(of: space)
            #expect(pull.entries.map(\.cursor) == expected)
            #expect(pull.entries == pull.entries.sorted { $0.cursor < $1.cursor })
        }
    }

    @Test("PL5, PL6: nothing lies behind the cursor", arguments: TestBackend.available)
    func nothingNew(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            _ = try await test.storage.push([.fixture(1)], to: space)
            for since: Int64 in [1, 2, 1_000, .max] {
                let pull = try await test.storage.collectPull(of: space, since: since)
                #expect(pull == CollectedPull(meta: PullMeta(cursor: 1, keyGeneration: 1), entries: []))
            }
        }
    }

    @Test("PL7: below zero everything is shown, tombstones included", arguments: TestBackend.available)
    func negative(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            _ = try await test.storage.push([.fixture(1), .fixture(2)], to: space)
            _ = try await test.storage.push([.fixture(1, nil, at: 1)], to: space)
            let (file, removed) = (
                PulledFile.fixture(of: .fixture(2), cursor: 3),
                PulledFile.fixture(of: .fixture(2), cursor: 4, deleted: true)
            )
            try await test.insertFile(file, into: space)
            try await test.insertFile(removed, into: space)
            let tombstone = PulledRecord(id: .fixture(1), blob: nil, cursor: 2, wrappedDEK: nil, deleted: true)
            let live = PulledRecord(
                id: .fixture(2), blob: ByteBuffer(string: "blob"), cursor: 1, wrappedDEK: nil, deleted: false)
            #expect(try await test.storage.collectPull(of: space, since: 0).entries == [.record(live), .file(file)])
            for since: Int64 in [-1, .min] {
                #expect(
                    try await test.storage.collectPull(of: space, since: since).entries == [
                        .record(live), .record(tombstone), .file(file), .file(removed),
                    ])
            }
            #expect(
                try await test.storage.collectPull(of: space, since: 1).entries == [
                    .record(tombstone), .file(file), .file(removed),
                ])
        }
    }

    @Test("PL8: a record shows once, with its newest cursor", arguments: TestBackend.available)
    func newest(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            _ = try await test.storage.push([.fixture(1), .fixture(2)], to: space)
            _ = try await test.storage.push([.fixture(1, "b", at: 1)], to: space)
            _ = try await test.storage.push([.fixture(1, "c", at: 2)], to: space)
            let records = try await test.storage.collectPull(of: space, since: 1).records
            #expect(records.map(\.id) == [.fixture(1)] && records.map(\.cursor) == [3])
        }
    }

    @Test("PL9: the meta shows an epoch in progress", arguments: TestBackend.available)
    func epochs(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSharedSpace(keyGeneration: 2)
            try await test.setRewrapEpoch(of: space, to: 2)
            let pull = try await test.storage.collectPull(of: space)
            #expect(pull.meta == PullMeta(cursor: 0, keyGeneration: 2, rewrapEpoch: 2))
        }
    }

    @Test("PL10: a snapshot does not see what is committed after it", arguments: TestBackend.available)
    func snapshot(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeSpace()
            _ = try await storage.push((1...200).map { .fixture($0, "old") }, to: space)
            try await storage.withPull(of: space, since: 0) { snapshot in
                _ = try await storage.push([.fixture(200, "new", at: 1), .fixture(201)], to: space)
                var records: [PullEntry] = try await snapshot.nextPage() ?? []
                _ = try await storage.push([.fixture(199, nil, at: 1), .fixture(202)], to: space)
                while let page = try await snapshot.nextPage() { records += page }
                #expect(snapshot.meta.cursor == 1)
                #expect(
                    records
                        == (1...200).map { number in
                            .record(
                                PulledRecord(
                                    id: .fixture(number), blob: ByteBuffer(string: "old"), cursor: 1, wrappedDEK: nil,
                                    deleted: false))
                        })
            }
            #expect(try await storage.collectPull(of: space, since: 1).records.count == 4)
        }
    }

    @Test("PU24, PL11: 100,000 records go in at once and come out in bounded pages", arguments: TestBackend.available)
    func oneHundredThousand(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            let changes = (0..<100_000).map { PushParams.Change.fixture($0, "\($0)", dek: .wrappedDEK()) }
            #expect(try await test.storage.push(changes, to: space).cursor == 1)
            try await test.storage.withPull(of: space, since: 0) { snapshot in
                var count = 0
                while let page = try await snapshot.nextPage() {
                    #expect((1...Limits.pullPageEntriesMax).contains(page.count))
                    for entry in page {
                        guard case .record(let record) = entry else { throw UnexpectedEntry() }
                        if record.id != .fixture(count) || record.blob != ByteBuffer(string: "\(count)") {
                            throw UnexpectedEntry()
                        }
                        count += 1
                    }
                }
                #expect(count == 100_000)
            }
        }
    }

    @Test("PL11: a page is bounded in bytes", arguments: TestBackend.available)
    func pageBytes(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            let blob = ByteBuffer(repeating: 1, count: 100_000)
            let changes = (0..<40).map { number in
                PushParams.Change(
                    id: RecordID.fixtureText(number), blob: blob, expectedCursor: 0, dek: .wrappedDEK())
            }
            _ = try await test.storage.push(changes, to: space)
            try await test.storage.withPull(of: space, since: 0) { snapshot in
                var count = 0
                while let page = try await snapshot.nextPage() {
                    #expect((page.count - 1) * 100_044 < Limits.pullPageBytesMax)
                    count += page.count
                }
                #expect(count == 40)
                #expect(try await snapshot.nextPage() == nil)
            }
        }
    }

    @Test("PL12: a pull left early gives its connection back", arguments: TestBackend.available)
    func leftEarly(on backend: TestBackend) async throws {
        try await backend.withStorage(poolSize: 1) { test in
            let storage = test.storage
            let space = try await test.makeSpace()
            _ = try await storage.push((0..<300).map { .fixture($0) }, to: space)
            for _ in 0..<3 {
                let first = try await storage.withPull(of: space, since: 0) { try await $0.nextPage()?.first }
                #expect(first?.cursor == 1)
                await #expect(throws: UnexpectedEntry.self) {
                    try await storage.withPull(of: space, since: 0) { snapshot in
                        _ = try await snapshot.nextPage()
                        throw UnexpectedEntry()
                    }
                }
                try await storage.ping()
                #expect(try await storage.space(space).cursor == 1)
            }
            #expect(storage.statistics.pullsOpen == 0)
        }
    }

    @Test("PL12: a snapshot is over when its body is", arguments: TestBackend.available)
    func escaped(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            _ = try await test.storage.push((0..<300).map { .fixture($0) }, to: space)
            let snapshot = try await test.storage.withPull(of: space, since: 0) { snapshot in
                _ = try await snapshot.nextPage()
                return snapshot
            }
            await #expect(throws: StorageError.unavailable) { try await snapshot.nextPage() }
        }
    }

    @Test("PL13: a pull whose connection fails ends with an error, and stays ended", arguments: TestBackend.available)
    func broken(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            let blob = ByteBuffer(repeating: 1, count: 65_536)
            for number in 0..<128 {
                _ = try await test.storage.push(
                    [.init(id: RecordID.fixtureText(number), blob: blob, expectedCursor: 0, dek: nil)], to: space)
            }
            let errors = try await test.storage.withPull(of: space, since: 0) { snapshot in
                #expect(try await snapshot.nextPage() != nil)
                try await test.breakOpenPulls()
                return [await self.firstError(of: snapshot), await self.firstError(of: snapshot)]
            }
            #expect(errors.allSatisfy { $0 is StorageError })
        }
    }

    /// `nil` when the end was reached without one.
    private func firstError(of snapshot: any PullSnapshot) async -> (any Error)? {
        do {
            while try await snapshot.nextPage() != nil {}
            return nil
        } catch {
            return error
        }
    }

    @Test("PL14, CO11: every pull beside a busy writer is a prefix of history", arguments: TestBackend.available)
    func prefixes(on backend: TestBackend) async throws {
        try await backend.withStorage(poolSize: 6) { test in
            let storage = test.storage
            let space = try await test.makeSpace()
            // Push n writes "n" into record n mod 150, so that a cursor says all that must be there.
            let records: Int64 = 150
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    for cursor in 1...(records * 3) {
                        let change = PushParams.Change.fixture(
                            Int(cursor % records), "\(cursor)", at: max(0, cursor - records))
                        let outcome = try await storage.push([change], to: space)
                        #expect(outcome.cursor == cursor)
                    }
                }
                for _ in 0..<4 {
                    group.addTask {
                        for _ in 0..<12 {
                            let pull = try await storage.collectPull(of: space)
                            let first = max(1, pull.meta.cursor - records + 1)
                            let expected = pull.meta.cursor == 0 ? [] : Array(first...pull.meta.cursor)
                            #expect(pull.records.map(\.cursor) == expected)
                            #expect(pull.records.map(\.blob) == expected.map { ByteBuffer(string: "\($0)") })
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
    }

    @Test("Closing the storage ends open pulls", arguments: TestBackend.available)
    func closed(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            _ = try await test.storage.push((0..<300).map { .fixture($0) }, to: space)
            await #expect(throws: StorageError.unavailable) {
                try await test.storage.withPull(of: space, since: 0) { snapshot in
                    _ = try await snapshot.nextPage()
                    await test.storage.close()
                    while try await snapshot.nextPage() != nil {}
                }
            }
        }
    }
}

private struct UnexpectedEntry: Error {}
