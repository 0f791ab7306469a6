import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@Suite("DEKs", .timeLimit(.minutes(5)))
struct DEKTests {
    private func rewrap(_ items: [(Int, UInt32, UInt8)]) throws -> DEKRewrap<RecordSubject> {
        try DEKRewrap(
            parsing: items.map { (RecordID.fixtureText($0.0), ByteBuffer.wrappedDEK(epoch: $0.1, fill: $0.2)) })
    }

    private func rewrap(_ id: String, _ dek: ByteBuffer) throws -> DEKRewrap<RecordSubject> {
        try DEKRewrap(parsing: [(id, dek)])
    }

    /// A space with this many records, each with a DEK of epoch 1.
    private func makeSpace(_ test: any TestStorage, records: Int) async throws -> SpaceID {
        let space = try await test.makeSharedSpace()
        for number in 1...records {
            _ = try await test.storage.push([.fixture(number, dek: .wrappedDEK(epoch: 1))], to: space)
        }
        return space
    }

    @Test("DK1: a rewrap is for the current epoch and for a record that exists", arguments: TestBackend.available)
    func rewrap(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await self.makeSpace(test, records: 1)
            let old = RecordDEK(id: .fixture(1), wrappedDEK: .wrappedDEK(epoch: 1), cursor: 1)
            #expect(try await storage.recordDEKs(of: space) == [old])
            try await storage.advanceEpoch(of: space, to: 2, setsMinimum: false)
            await #expect(throws: StorageError.dekEpochMismatch) {
                try await storage.rewrapRecordDEKs(try self.rewrap([(1, 1, 9)]), in: space)
            }
            await #expect(throws: StorageError.invalidRecordID) {
                try await storage.rewrapRecordDEKs(
                    try self.rewrap("not-a-uuid", .wrappedDEK(epoch: 2)), in: space)
            }
            await #expect(throws: StorageError.dekRecordNotFound) {
                try await storage.rewrapRecordDEKs(try self.rewrap([(2, 2, 9)]), in: space)
            }
            #expect(try await storage.recordDEKs(of: space) == [old])
            try await storage.rewrapRecordDEKs(try self.rewrap([(1, 2, 9)]), in: space)
            let new = RecordDEK(id: .fixture(1), wrappedDEK: .wrappedDEK(epoch: 2, fill: 9), cursor: 1)
            #expect(try await storage.recordDEKs(of: space) == [new])
            #expect(try await storage.space(space).cursor == 1)
            #expect(try await storage.collectPull(of: space).records.map(\.wrappedDEK) == [new.wrappedDEK])
        }
    }

    @Test("DK2: a wrong epoch counts before a bad id", arguments: TestBackend.available)
    func epochFirst(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await self.makeSpace(test, records: 1)
            await #expect(throws: StorageError.dekEpochMismatch) {
                try await test.storage.rewrapRecordDEKs(
                    try self.rewrap("not-a-uuid", .wrappedDEK(epoch: 2)), in: space)
            }
            // But an item counts before the ones behind it.
            await #expect(throws: StorageError.invalidRecordID) {
                try await test.storage.rewrapRecordDEKs(
                    try DEKRewrap(parsing: [("bad", .wrappedDEK(epoch: 1)), ("bad", .wrappedDEK(epoch: 2))]),
                    in: space)
            }
            await #expect(throws: StorageError.dekRecordNotFound) {
                try await test.storage.rewrapRecordDEKs(try self.rewrap([(7, 1, 9), (1, 2, 9)]), in: space)
            }
        }
    }

    @Test("DK3: a rewrap that fails changes nothing", arguments: TestBackend.available)
    func allOrNothing(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await self.makeSpace(test, records: 2)
            let before = try await storage.recordDEKs(of: space)
            for items: [(Int, UInt32, UInt8)] in [[(1, 1, 9), (7, 1, 9)], [(1, 1, 9), (2, 1, 9), (7, 1, 9)]] {
                await #expect(throws: StorageError.dekRecordNotFound) {
                    try await storage.rewrapRecordDEKs(try self.rewrap(items), in: space)
                }
            }
            await #expect(throws: StorageError.dekEpochMismatch) {
                try await storage.rewrapRecordDEKs(try self.rewrap([(1, 1, 9), (2, 3, 9)]), in: space)
            }
            #expect(try await storage.recordDEKs(of: space) == before)
        }
    }

    @Test("DK4, FD4: nothing to rewrap is a success, even in an unknown space", arguments: TestBackend.available)
    func empty(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            try await test.storage.rewrapRecordDEKs(try self.rewrap([]), in: .random())
            try await test.storage.rewrapFileDEKs(try DEKRewrap([]), in: .random())
            await #expect(throws: StorageError.spaceNotFound) {
                try await test.storage.rewrapRecordDEKs(try self.rewrap([(1, 1, 9)]), in: .random())
            }
            await #expect(throws: StorageError.spaceNotFound) {
                try await test.storage.rewrapFileDEKs(
                    try DEKRewrap([(.random(), .wrappedDEK(epoch: 1))]), in: .random())
            }
            #expect(try await test.storage.recordDEKs(of: .random()).isEmpty)
            #expect(try await test.storage.fileDEKs(of: .random()).isEmpty)
        }
    }

    @Test("DK5, DK6, PU28: live records with a DEK are listed, by cursor and id", arguments: TestBackend.available)
    func list(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeSpace()
            let dek = ByteBuffer.wrappedDEK(epoch: 1)
            _ = try await storage.push([.fixture(3, dek: dek), .fixture(1, dek: dek), .fixture(2)], to: space)
            _ = try await storage.push([.fixture(4, dek: dek)], to: space)
            _ = try await storage.push([.fixture(1, "again", at: 1, dek: dek)], to: space)
            _ = try await storage.push([.fixture(5, nil, dek: dek)], to: space)
            _ = try await storage.push([.fixture(6, dek: dek)], to: space)
            _ = try await storage.push([.fixture(6, nil, at: 5, dek: dek)], to: space)
            let expected = [(3, 1), (4, 2), (1, 3)].map { number, cursor in
                RecordDEK(id: .fixture(number), wrappedDEK: dek, cursor: Int64(cursor))
            }
            #expect(try await storage.recordDEKs(of: space) == expected)
            #expect(try await storage.recordDEKs(of: space, since: 1) == Array(expected.dropFirst()))
            #expect(try await storage.recordDEKs(of: space, since: 3).isEmpty)
            #expect(try await storage.recordDEKs(of: space, since: -5) == expected)
        }
    }

    @Test("A list of many DEKs comes in pages, of one snapshot", arguments: TestBackend.available)
    func pages(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeSpace()
            let dek = ByteBuffer.wrappedDEK(epoch: 1)
            // One cursor each, then one for all.
            for number in 1...70 { _ = try await storage.push([.fixture(number, dek: dek)], to: space) }
            _ = try await storage.push((71...300).map { .fixture($0, dek: dek) }, to: space)
            let listed = try await storage.withRecordDEKs(of: space, since: 0) { list in
                let first = try await list.nextPage()
                _ = try await storage.push([.fixture(1, "later", at: 1, dek: dek)], to: space)
                _ = try await storage.push([.fixture(301, dek: dek)], to: space)
                var all = first ?? []
                while let page = try await list.nextPage() {
                    #expect(!page.isEmpty && page.count <= Limits.pullPageEntriesMax)
                    all += page
                }
                #expect(try await list.nextPage() == nil)
                return all
            }
            #expect(listed.map(\.id) == (1...300).map { RecordID.fixture($0) })
            #expect(listed.map(\.cursor) == (1...300).map { Int64(min($0, 71)) })
            #expect(try await storage.recordDEKs(of: space).count == 301)
        }
    }

    @Test("PL12: a list that is left early gives its connection back", arguments: TestBackend.available)
    func leftEarly(on backend: TestBackend) async throws {
        try await backend.withStorage(poolSize: 3) { test in
            let storage = test.storage
            let space = try await test.makeSpace()
            _ = try await storage.push((1...2_000).map { .fixture($0, dek: .wrappedDEK()) }, to: space)
            struct Left: Error {}
            for _ in 0..<5 {
                try await storage.withRecordDEKs(of: space, since: 0) { list in _ = try await list.nextPage() }
                await #expect(throws: Left.self) {
                    try await storage.withRecordDEKs(of: space, since: 0) { list in
                        _ = try await list.nextPage()
                        throw Left()
                    }
                }
            }
            #expect(try await storage.recordDEKs(of: space).count == 2_000)
            #expect(storage.statistics.pullsOpen == 0)
        }
    }

    @Test(
        "DK7: a DEK of another length is refused first, one without an epoch matches none",
        arguments: TestBackend.available)
    func malformed(on backend: TestBackend) async throws {
        #expect(throws: StorageError.invalidWrappedDEK) {
            try DEKRewrap<RecordSubject>(parsing: [("not-a-uuid", ByteBuffer(bytes: [0, 0, 1]))])
        }
        #expect(throws: StorageError.invalidWrappedDEK) {
            try DEKRewrap<FileSubject>([(nil, .wrappedDEK()), (nil, ByteBuffer(repeating: 0, count: 45))])
        }
        try await backend.withStorage { test in
            let space = try await self.makeSpace(test, records: 1)
            for epoch: UInt32 in [0, 0x8000_0000, 0x8000_0001, 0xFFFF_FFFF] {
                await #expect(throws: StorageError.dekEpochMismatch) {
                    try await test.storage.rewrapRecordDEKs(try self.rewrap([(1, epoch, 9)]), in: space)
                }
            }
        }
    }

    @Test("DK8: a record of another space is not found", arguments: TestBackend.available)
    func otherSpace(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await self.makeSpace(test, records: 1)
            let other = try await test.makeSharedSpace()
            await #expect(throws: StorageError.dekRecordNotFound) {
                try await test.storage.rewrapRecordDEKs(try self.rewrap([(1, 1, 9)]), in: other)
            }
            #expect(try await test.storage.recordDEKs(of: space).map(\.wrappedDEK) == [.wrappedDEK(epoch: 1)])
        }
    }

    @Test(
        "Δ-S3: a tombstone is rewrapped to no effect, and a record without a DEK gets one",
        arguments: TestBackend.available)
    func tombstone(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeSharedSpace()
            _ = try await storage.push([.fixture(1, nil), .fixture(2)], to: space)
            try await storage.rewrapRecordDEKs(try self.rewrap([(1, 1, 9), (2, 1, 8)]), in: space)
            #expect(try await test.recordRow(.fixture(1), in: space)?.wrappedDEK == nil)
            #expect(try await test.recordRow(.fixture(2), in: space)?.wrappedDEK == .wrappedDEK(epoch: 1, fill: 8))
        }
    }

    @Test("Of one record named twice the last DEK counts", arguments: TestBackend.available)
    func twice(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await self.makeSpace(test, records: 2)
            try await test.storage.rewrapRecordDEKs(
                try self.rewrap([(1, 1, 5), (2, 1, 6), (1, 1, 4), (1, 1, 3)]), in: space)
            let deks = try await test.storage.recordDEKs(of: space).map(\.wrappedDEK)
            #expect(deks == [.wrappedDEK(epoch: 1, fill: 3), .wrappedDEK(epoch: 1, fill: 6)])
        }
    }

    @Test("§1.3: a record is named by any form of its id", arguments: TestBackend.available)
    func forms(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await self.makeSpace(test, records: 1)
            let id = RecordID.fixtureText(1)
            let forms = [
                id.uppercased(), id.filter { $0 != "-" }, "{\(id)}", "urn:uuid:\(id)",
            ]
            for (index, form) in forms.enumerated() {
                let dek = ByteBuffer.wrappedDEK(epoch: 1, fill: UInt8(index))
                try await test.storage.rewrapRecordDEKs(try self.rewrap(form, dek), in: space)
                #expect(try await test.storage.recordDEKs(of: space).map(\.wrappedDEK) == [dek], "\(form)")
            }
        }
    }

    @Test("CO9: a rewrap and a push of one record leave one of the two DEKs", arguments: TestBackend.available)
    func race(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await self.makeSpace(test, records: 1)
            var cursor: Int64 = 1
            for round in 0..<20 {
                let rewrap = try self.rewrap([(1, 1, UInt8(round))])
                let at = cursor
                async let pushed = storage.push(
                    [.fixture(1, "\(round)", at: at, dek: .wrappedDEK(epoch: 1, fill: 99))], to: space)
                async let rewrapped: Void = storage.rewrapRecordDEKs(rewrap, in: space)
                cursor = try #require(try await pushed.cursor)
                try await rewrapped
                let row = try await test.recordRow(.fixture(1), in: space)
                let dek = try #require(row?.wrappedDEK)
                #expect([.wrappedDEK(epoch: 1, fill: UInt8(round)), .wrappedDEK(epoch: 1, fill: 99)].contains(dek))
                #expect(row?.cursor == cursor && row?.blob == ByteBuffer(string: "\(round)"))
            }
        }
    }

    // MARK: Files

    /// A space with one record and this many files of it, each with a DEK of epoch 1.
    private func makeFiles(_ test: any TestStorage, _ count: Int) async throws -> (SpaceID, [FileID]) {
        let space = try await self.makeSpace(test, records: 1)
        var files: [FileID] = []
        for _ in 0..<count {
            let file = NewFile(
                space: space, id: .random(), recordID: .fixture(1), size: 1, wrappedDEK: .wrappedDEK(epoch: 1))
            #expect(try await test.storage.recordFile(file) != nil)
            files.append(file.id)
        }
        return (space, files)
    }

    @Test("FD1: files are listed by cursor", arguments: TestBackend.available)
    func listFiles(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let (space, files) = try await self.makeFiles(test, 2)
            let expected = zip(files, [2, 3]).map { id, cursor in
                FileDEK(id: id, wrappedDEK: .wrappedDEK(epoch: 1), cursor: Int64(cursor))
            }
            #expect(try await test.storage.fileDEKs(of: space) == expected)
            #expect(try await test.storage.fileDEKs(of: space, since: 2) == [expected[1]])
            #expect(try await test.storage.fileDEKs(of: space, since: 3).isEmpty)
        }
    }

    @Test("FD2: a rewrap changes the DEK of a file and no cursor", arguments: TestBackend.available)
    func rewrapFile(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let (space, files) = try await self.makeFiles(test, 1)
            let dek = ByteBuffer.wrappedDEK(epoch: 1, fill: 9)
            try await test.storage.rewrapFileDEKs(try DEKRewrap([(files[0], dek)]), in: space)
            #expect(
                try await test.storage.file(files[0], in: space)
                    == FileMetadata(id: files[0], recordID: .fixture(1), size: 1, wrappedDEK: dek, cursor: 2))
            #expect(try await test.storage.space(space).cursor == 2)
        }
    }

    @Test("FD3, FD4, FD5: epochs of all items count before unknown files", arguments: TestBackend.available)
    func rewrapFileFailures(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let (space, files) = try await self.makeFiles(test, 2)
            try await storage.advanceEpoch(of: space, to: 2, setsMinimum: false)
            let before = try await storage.fileDEKs(of: space)
            let (old, new) = (ByteBuffer.wrappedDEK(epoch: 1, fill: 9), ByteBuffer.wrappedDEK(epoch: 2, fill: 9))
            let cases: [([(id: FileID?, wrappedDEK: ByteBuffer)], StorageError)] = [
                ([(files[0], old)], .dekEpochMismatch), ([(.random(), new)], .fileDEKNotFound),
                ([(nil, new)], .fileDEKNotFound), ([(.random(), new), (files[0], old)], .dekEpochMismatch),
                ([(files[0], new), (.random(), new)], .fileDEKNotFound),
                ([(files[0], new), (files[1], old)], .dekEpochMismatch),
            ]
            for (items, error) in cases {
                await #expect(throws: error) {
                    try await storage.rewrapFileDEKs(try DEKRewrap(items), in: space)
                }
            }
            #expect(try await storage.fileDEKs(of: space) == before)
        }
    }

    @Test("Δ-S6: a file that is flagged deleted has no DEK to list or rewrap", arguments: TestBackend.available)
    func flaggedFile(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await self.makeSpace(test, records: 1)
            let file = PulledFile.fixture(of: .fixture(1), cursor: 2, deleted: true)
            try await test.insertFile(file, into: space)
            #expect(try await test.storage.fileDEKs(of: space).isEmpty)
            await #expect(throws: StorageError.fileDEKNotFound) {
                try await test.storage.rewrapFileDEKs(
                    try DEKRewrap([(file.id, .wrappedDEK(epoch: 1))]), in: space)
            }
        }
    }
}

extension DEKStore {
    /// The whole list.
    fileprivate func recordDEKs(of space: SpaceID, since: Int64 = 0) async throws -> [RecordDEK] {
        try await self.withRecordDEKs(of: space, since: since) { list in
            var all: [RecordDEK] = []
            while let page = try await list.nextPage() { all += page }
            return all
        }
    }

    fileprivate func fileDEKs(of space: SpaceID, since: Int64 = 0) async throws -> [FileDEK] {
        try await self.withFileDEKs(of: space, since: since) { list in
            var all: [FileDEK] = []
            while let page = try await list.nextPage() { all += page }
            return all
        }
    }
}
