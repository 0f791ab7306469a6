import SyncProtocol
import SyncStorage
import SyncTesting
import Synchronization
import Testing

@Suite("Objects of files to delete", .timeLimit(.minutes(5)))
struct FileDeletionTests {
    @Test("Δ-S7: an object stays in the queue until its deletion is completed", arguments: TestBackend.available)
    func queue(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeFileSpace(records: 3)
            let files = (1...3).map { NewFile.fixture(in: space, of: $0) }
            for file in files { _ = try await storage.recordFile(file) }
            for number in 1...3 {
                _ = try await storage.push([.fixture(number, nil, at: 1)], to: space)
            }
            let due = try await storage.dueFileDeletions(limit: 10)
            #expect(due.map(\.file) == files.map(\.id))
            #expect(due.allSatisfy { $0.space == space && $0.attempts == 0 })
            #expect(try await storage.dueFileDeletions(limit: 2) == Array(due[..<2]))
            #expect(try await storage.dueFileDeletions(limit: 0) == [])

            try await storage.completeFileDeletion(due[1])
            try await storage.completeFileDeletion(due[1])
            #expect(try await storage.dueFileDeletions(limit: 10) == [due[0], due[2]])
            try await storage.postponeFileDeletion(due[0], by: .seconds(600))
            #expect(try await storage.dueFileDeletions(limit: 10) == [due[2]])
            try await storage.postponeFileDeletion(due[2], by: .zero)
            var later = try #require(try await storage.dueFileDeletions(limit: 10).last)
            #expect(later.dueAt >= due[2].dueAt)
            later.dueAt = due[2].dueAt
            later.attempts -= 1
            #expect(later == due[2])
            try await storage.postponeFileDeletion(due[1], by: .zero)
            #expect(try await storage.dueFileDeletions(limit: 10).map(\.number) == [due[2].number])
        }
    }

    @Test("An object without a row can be queued, whatever its space is", arguments: TestBackend.available)
    func queueing(on backend: TestBackend) async throws {
        try await backend.withStorage { test async throws in
            let key = FileKey(space: .random(), file: .random())
            try await test.storage.queueFileDeletion(key)
            let due = try await test.storage.dueFileDeletions(limit: 10)
            #expect(due.map(\.key) == [key])
            #expect(due.map(\.attempts) == [0])
            #expect(test.storage.sharesFileLocks)
        }
    }

    @Test("Δ-S7: the queue is listed by page, with when each is due", arguments: TestBackend.available)
    func queuePages(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeFileSpace()
            for _ in 1...5 { _ = try await storage.recordFile(NewFile.fixture(in: space)) }
            _ = try await storage.deleteFiles(of: [.fixture(1)], in: space)
            let all = try await storage.fileDeletions(after: 0, limit: 10)
            #expect(all.count == 5 && all.map(\.number) == all.map(\.number).sorted())
            try await storage.postponeFileDeletion(all[1], by: .seconds(600))
            let page = try await storage.fileDeletions(after: all[0].number, limit: 2)
            #expect(page.map(\.key) == all[1...2].map(\.key) && page.map(\.attempts) == [1, 0])
            #expect(page[0].dueAt - all[1].dueAt >= 600_000_000)
            #expect(try await storage.fileDeletions(after: all[4].number, limit: 2) == [])
        }
    }

    /// What a server does with objects, which are but names here.
    private final class Objects: Sendable {
        private let storage: any Storage
        private let names = Mutex<Set<FileKey>>([])

        init(_ storage: any Storage) { self.storage = storage }

        var all: Set<FileKey> { self.names.withLock { $0 } }

        func upload(_ file: NewFile) async throws {
            let key = FileKey(space: file.space, file: file.id)
            try await self.storage.withFileLock(file.id, in: file.space) {
                guard try await !self.storage.fileExists(file.id, in: file.space) else { return }
                self.names.withLock { _ = $0.insert(key) }
                do {
                    _ = try await self.storage.recordFile(file)
                } catch {
                    self.names.withLock { _ = $0.remove(key) }
                    throw error
                }
            }
        }

        func deleteQueued() async throws {
            for deletion in try await self.storage.dueFileDeletions(limit: 100) {
                try await self.storage.withFileLock(deletion.file, in: deletion.space) {
                    if try await !self.storage.fileExists(deletion.file, in: deletion.space) {
                        self.names.withLock { _ = $0.remove(deletion.key) }
                    }
                    try await self.storage.completeFileDeletion(deletion)
                }
            }
        }
    }

    @Test(
        "CO16: deletions of an object race with uploads of it; afterwards there are row and object, or neither",
        arguments: TestBackend.available)
    func deletionBesideUpload(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let space = try await test.makeSpace()
            let objects = Objects(storage)
            let id = FileID.random()
            let key = FileKey(space: space, file: id)
            for round in 1...15 {
                let at = try #require(try await storage.push([.fixture(round)], to: space).cursor)
                let file = NewFile.fixture(id, in: space, of: round)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<3 { group.addTask { try await objects.upload(file) } }
                    group.addTask { _ = try await storage.push([.fixture(round, nil, at: at)], to: space) }
                    for _ in 0..<3 { group.addTask { try await objects.deleteQueued() } }
                    try await group.waitForAll()
                }
                try await objects.deleteQueued()
                #expect(try await storage.fileExists(id, in: space) == objects.all.contains(key))
                _ = try await storage.deleteFiles(of: [.fixture(round)], in: space)
                try await objects.deleteQueued()
                #expect(objects.all.isEmpty)
            }
        }
    }
}
