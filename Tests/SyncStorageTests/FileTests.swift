import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Synchronization
import Testing

@Suite("Files", .timeLimit(.minutes(5)))
struct FileTests {
    @Test("FI1, FI12: a file is recorded at the space's next cursor", arguments: TestBackend.available)
    func record(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeFileSpace()
            let file = NewFile.fixture(in: space)
            #expect(try await test.storage.recordFile(file) == 2)
            #expect(
                try await test.storage.file(file.id, in: space)
                    == FileMetadata(
                        id: file.id, recordID: .fixture(1), size: 1_234, wrappedDEK: .wrappedDEK(), cursor: 2))
            let empty = NewFile.fixture(in: space, size: 0)
            #expect(try await test.storage.recordFile(empty) == 3)
            #expect(try await test.storage.file(empty.id, in: space).size == 0)
            #expect(try await test.storage.space(space).cursor == 3)
            let pull = try await test.storage.collectPull(of: space, since: 1)
            #expect(
                pull.entries
                    == [(file, 2), (empty, 3)].map { file, cursor in
                        .file(
                            PulledFile(
                                id: file.id, recordID: .fixture(1), size: file.size, wrappedDEK: .wrappedDEK(),
                                cursor: Int64(cursor), deleted: false))
                    })
        }
    }

    @Test(
        "FI2, FI10: a file that is recorded keeps its first values, and the cursor stays",
        arguments: TestBackend.available)
    func again(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeFileSpace(records: 2)
            let file = NewFile.fixture(in: space)
            #expect(try await test.storage.recordFile(file) == 2)
            let before = try await test.storage.file(file.id, in: space)
            #expect(try await test.storage.recordFile(file) == nil)
            let other = NewFile.fixture(file.id, in: space, of: 2, size: 9, dek: .wrappedDEK(fill: 1))
            #expect(try await test.storage.recordFile(other) == nil)
            #expect(try await test.storage.file(file.id, in: space) == before)
            #expect(try await test.storage.space(space).cursor == 2)
        }
    }

    @Test("FI3: DEK and size are checked, in that order and before the space", arguments: TestBackend.available)
    func invalid(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeFileSpace()
            let short = ByteBuffer(repeating: 1, count: 5)
            for (file, error) in [
                (NewFile.fixture(in: space, dek: short), StorageError.invalidWrappedDEK),
                (NewFile.fixture(in: space, size: -1), .invalidFileSize),
                (NewFile.fixture(in: space, size: -1, dek: short), .invalidWrappedDEK),
                (NewFile.fixture(in: .random(), dek: ByteBuffer(repeating: 1, count: 45)), .invalidWrappedDEK),
                (NewFile.fixture(in: .random(), size: Int64.min), .invalidFileSize),
            ] { await #expect(throws: error) { try await test.storage.recordFile(file) } }
            #expect(try await test.storage.space(space).cursor == 1)
        }
    }

    @Test("FI4, FI5: a file is found in its own space alone", arguments: TestBackend.available)
    func find(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let (space, other) = (try await test.makeFileSpace(), try await test.makeFileSpace())
            let file = NewFile.fixture(in: space)
            #expect(try await !storage.fileExists(file.id, in: space))
            await #expect(throws: StorageError.fileNotFound) { try await storage.file(file.id, in: space) }
            _ = try await storage.recordFile(file)
            #expect(try await storage.fileExists(file.id, in: space))
            for space in [other, .random()] {
                #expect(try await !storage.fileExists(file.id, in: space))
                await #expect(throws: StorageError.fileNotFound) { try await storage.file(file.id, in: space) }
            }
            // The same id is another file there.
            #expect(try await storage.recordFile(NewFile.fixture(file.id, in: other, size: 7)) == 2)
            #expect(try await storage.file(file.id, in: space).size == 1_234)
        }
    }

    @Test("FI6, FI7: an unknown space or record is an error and changes nothing", arguments: TestBackend.available)
    func unknown(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let (space, other) = (try await test.makeFileSpace(), try await test.makeFileSpace(records: 9))
            await #expect(throws: StorageError.spaceNotFound) {
                try await storage.recordFile(NewFile.fixture(in: .random()))
            }
            // A record of another space is none of this one.
            for record in [5, 99] {
                let file = NewFile.fixture(in: space, of: record)
                do {
                    _ = try await storage.recordFile(file)
                    Issue.record("The file was recorded.")
                } catch StorageError.database {}
                #expect(try await !storage.fileExists(file.id, in: space))
            }
            #expect(try await storage.space(space).cursor == 1)
            #expect(try await storage.recordFile(NewFile.fixture(in: other, of: 5)) == 2)
        }
    }

    @Test("FI8, FI9: the files of records are deleted, and their objects queued", arguments: TestBackend.available)
    func deleteFiles(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeFileSpace(records: 3)
            let files = (0..<4).map { NewFile.fixture(in: space, of: $0 < 2 ? 1 : $0) }
            for file in files { _ = try await storage.recordFile(file) }
            #expect(try await storage.deleteFiles(of: [], in: space) == [])
            #expect(try await storage.deleteFiles(of: [.fixture(1)], in: .random()) == [])
            #expect(try await storage.deleteFiles(of: [.fixture(9)], in: space) == [])
            #expect(try await storage.queuedFiles() == [])
            let removed = try await storage.deleteFiles(of: [.fixture(1), .fixture(2)], in: space)
            #expect(Set(removed) == Set(files[0...2].map(\.id)) && removed.count == 3)
            for file in files[0...2] { #expect(try await !storage.fileExists(file.id, in: space)) }
            #expect(try await storage.fileExists(files[3].id, in: space))
            #expect(try await storage.space(space).cursor == 5)
            #expect(Set(try await storage.queuedFiles()) == Set(removed))
        }
    }

    @Test("FI11, PU16: a file goes with its record, and can be recorded again", arguments: TestBackend.available)
    func withRecord(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeFileSpace()
            let file = NewFile.fixture(in: space)
            _ = try await storage.recordFile(file)
            let receipt = try await storage.push([.fixture(1, nil, at: 1)], to: space).receipt
            #expect(receipt?.removedFiles == [file.id] && receipt?.cursor == 3)
            #expect(try await !storage.fileExists(file.id, in: space))
            #expect(try await storage.queuedFiles() == [file.id])
            #expect(try await storage.recordFile(file) == 4)
            #expect(try await storage.file(file.id, in: space).cursor == 4)
        }
    }

    @Test(
        "FI13: a row that is flagged deleted is absent, but for a pull, and is replaced",
        arguments: TestBackend.available)
    func flagged(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeFileSpace(records: 2)
            let flagged = PulledFile.fixture(of: .fixture(1), cursor: 2, deleted: true)
            try await test.insertFile(flagged, into: space)
            #expect(try await !storage.fileExists(flagged.id, in: space))
            await #expect(throws: StorageError.fileNotFound) { try await storage.file(flagged.id, in: space) }
            #expect(try await storage.collectPull(of: space, since: 1).entries == [.file(flagged)])
            #expect(try await storage.recordFile(NewFile.fixture(flagged.id, in: space, of: 2)) == 3)
            #expect(
                try await storage.file(flagged.id, in: space)
                    == FileMetadata(
                        id: flagged.id, recordID: .fixture(2), size: 1_234, wrappedDEK: .wrappedDEK(), cursor: 3))
            #expect(try await storage.collectPull(of: space, since: 1).entries.count == 1)
        }
    }

    @Test("CO4: of 20 tasks that record one file one gets a cursor", arguments: TestBackend.available)
    func race(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeFileSpace()
            let file = NewFile.fixture(in: space)
            let cursors = try await withThrowingTaskGroup(of: Int64?.self) { group in
                for _ in 0..<20 { group.addTask { try await storage.recordFile(file) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(cursors.compactMap { $0 } == [2])
            #expect(try await storage.space(space).cursor == 2)
        }
    }

    @Test(
        "CO6: pushes, files and appends of one space share its cursors without a gap", arguments: TestBackend.available)
    func gapless(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeFileSpace()
            let cursors = try await withThrowingTaskGroup(of: [Int64].self) { group in
                for number in 2...41 {
                    group.addTask { [try await storage.push([.fixture(number)], to: space).cursor ?? 0] }
                    group.addTask { [try await storage.recordFile(NewFile.fixture(in: space)) ?? 0] }
                }
                group.addTask {
                    var cursors: [Int64] = []
                    for number in 1...20 {
                        let append = MemberAppend(
                            space: space, expectedVersion: Int32(number - 1),
                            previousHash: number == 1
                                ? ByteBuffer() : ByteBuffer(repeating: UInt8(number - 1), count: 32),
                            entryHash: ByteBuffer(repeating: UInt8(number), count: 32), payload: ByteBuffer(bytes: [1]))
                        cursors.append(try await storage.appendMember(append).cursor)
                    }
                    return cursors
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(cursors.sorted() == Array(2...101))
            #expect(try await storage.space(space).cursor == 101)
            let pull = try await storage.collectPull(of: space)
            #expect(pull.entries.map(\.cursor) == Array(1...101))
        }
    }

    @Test("CO8: a file whose record is being deleted is there, or reported", arguments: TestBackend.available)
    func deletionRace(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeSpace()
            for number in 1...30 {
                let at = try #require(try await storage.push([.fixture(number)], to: space).cursor)
                let file = NewFile.fixture(in: space, of: number)
                async let recorded = storage.recordFile(file)
                async let pushed = storage.push([.fixture(number, nil, at: at)], to: space)
                let cursor = try #require(try await recorded)
                let receipt = try #require(try await pushed.receipt)
                if receipt.removedFiles.isEmpty {
                    #expect(try await storage.file(file.id, in: space).cursor == cursor)
                    #expect(cursor > receipt.cursor)
                } else {
                    #expect(receipt.removedFiles == [file.id])
                    #expect(try await !storage.fileExists(file.id, in: space))
                    #expect(cursor < receipt.cursor)
                }
            }
        }
    }

    // MARK: All files

    @Test("The files of all spaces are listed by key, page by page", arguments: TestBackend.available)
    func listAll(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            #expect(try await storage.files(after: nil, limit: 10) == [])
            var expected: [RecordedFile] = []
            for _ in 1...3 {
                let space = try await test.makeFileSpace()
                for size in 0..<4 {
                    let file = NewFile.fixture(in: space, size: Int64(size))
                    _ = try await storage.recordFile(file)
                    expected.append(RecordedFile(key: FileKey(space: space, file: file.id), size: file.size))
                }
                try await test.insertFile(.fixture(of: .fixture(1), cursor: 9, deleted: true), into: space)
            }
            expected.sort { $0.key < $1.key }
            var listed: [RecordedFile] = []
            while true {
                let page = try await storage.files(after: listed.last?.key, limit: 5)
                #expect(page.count <= 5)
                listed += page
                if page.isEmpty { break }
            }
            #expect(listed == expected)
        }
    }

    @Test("A file whose object is lost is removed, and can be recorded again", arguments: TestBackend.available)
    func removeOne(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeFileSpace()
            let (file, other) = (NewFile.fixture(in: space), NewFile.fixture(in: space))
            for file in [file, other] { _ = try await storage.recordFile(file) }
            #expect(try await !storage.removeFile(file.id, in: space, recordedAt: 3))
            #expect(try await storage.removeFile(file.id, in: space, recordedAt: 2))
            #expect(try await !storage.removeFile(file.id, in: space, recordedAt: 2))
            #expect(try await !storage.removeFile(other.id, in: .random(), recordedAt: 3))
            #expect(try await !storage.fileExists(file.id, in: space))
            #expect(try await storage.fileExists(other.id, in: space))
            #expect(try await storage.space(space).cursor == 3)
            #expect(try await storage.recordFile(file) == 4)
            let flagged = PulledFile.fixture(of: .fixture(1), cursor: 9, deleted: true)
            try await test.insertFile(flagged, into: space)
            #expect(try await !storage.removeFile(flagged.id, in: space, recordedAt: 9))
        }
    }

    @Test(
        "Removing the row of a lost object leaves no deletion of the object in the queue; those of others stay",
        arguments: TestBackend.available)
    func removeOneQueuesNothing(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeFileSpace()
            let file = NewFile.fixture(in: space)
            let key = FileKey(space: space, file: file.id)
            let elsewhere = FileKey(space: .random(), file: file.id)
            try await storage.queueFileDeletion(key)
            try await storage.queueFileDeletion(elsewhere)
            _ = try await storage.recordFile(file)
            #expect(try await !storage.removeFile(file.id, in: space, recordedAt: 7))
            #expect(try await storage.dueFileDeletions(limit: 9).map(\.key) == [key, elsewhere])
            #expect(try await storage.removeFile(file.id, in: space, recordedAt: 2))
            #expect(try await storage.dueFileDeletions(limit: 9).map(\.key) == [elsewhere])
        }
    }

    // MARK: Locks

    private final class Counter: Sendable {
        private let state = Mutex((now: 0, most: 0, total: 0))

        var most: Int { self.state.withLock { $0.most } }
        var total: Int { self.state.withLock { $0.total } }

        func enter() {
            self.state.withLock { state in
                state.now += 1
                state.total += 1
                state.most = max(state.most, state.now)
            }
        }

        func leave() { self.state.withLock { $0.now -= 1 } }
    }

    @Test("The lock of a file is held by one at a time, those of others beside it", arguments: TestBackend.available)
    func locks(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = SpaceID.random()
            let (file, other) = (FileID.random(), FileID.random())
            let counter = Counter()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<20 {
                    group.addTask {
                        try await storage.withFileLock(file, in: space) {
                            counter.enter()
                            for _ in 0..<5 { await Task.yield() }
                            try await storage.withFileLock(other, in: .random()) { await Task.yield() }
                            counter.leave()
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(counter.total == 20 && counter.most == 1)
            struct Failed: Error {}
            await #expect(throws: Failed.self) {
                try await storage.withFileLock(file, in: space) { throw Failed() }
            }
            #expect(try await storage.withFileLock(file, in: space) { 7 } == 7)
        }
    }

    @Test("Who holds a file's lock uses up no connection", arguments: TestBackend.available)
    func manyLocks(on backend: TestBackend) async throws {
        try await backend.withStorage(poolSize: 3) { test in
            let storage = test.storage
            let space = try await test.makeFileSpace()
            try await withThrowingTaskGroup(of: Int64?.self) { group in
                for _ in 0..<30 {
                    let file = NewFile.fixture(in: space)
                    group.addTask {
                        try await storage.withFileLock(file.id, in: space) { try await storage.recordFile(file) }
                    }
                }
                let cursors = try await group.reduce(into: []) { $0.append($1 ?? 0) }
                #expect(cursors.sorted() == Array(2...31))
            }
        }
    }

    @Test("After close there are no locks on PostgreSQL, and no files anywhere", arguments: TestBackend.available)
    func closed(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeFileSpace()
            await storage.close()
            await #expect(throws: StorageError.unavailable) { try await storage.recordFile(NewFile.fixture(in: space)) }
            await #expect(throws: StorageError.unavailable) { try await storage.file(.random(), in: space) }
            await #expect(throws: StorageError.unavailable) { try await storage.dueFileDeletions(limit: 1) }
            if backend == .postgres {
                await #expect(throws: StorageError.unavailable) {
                    try await storage.withFileLock(.random(), in: space) {}
                }
            }
        }
    }
}
