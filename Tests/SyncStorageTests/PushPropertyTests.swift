import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

/// What a space must hold, kept by the rules of docs/contract/storage.md §6.2 and nothing else.
private struct SpaceModel {
    private(set) var records: [RecordID: PulledRecord] = [:]
    private(set) var cursor: Int64 = 0

    mutating func push(_ changes: [RecordChange]) -> Int64? {
        guard !changes.isEmpty else { return self.cursor }
        for change in changes where (self.records[change.id]?.cursor ?? 0) != change.expectedCursor { return nil }
        self.cursor += 1
        for change in changes {
            self.records[change.id] = PulledRecord(
                id: change.id, blob: change.blob, cursor: self.cursor,
                wrappedDEK: change.blob == nil ? nil : change.wrappedDEK, deleted: change.blob == nil)
        }
        return self.cursor
    }

    func pull(since: Int64) -> [PullEntry] {
        self.records.values.filter { $0.cursor > since && (since != 0 || !$0.deleted) }
            .sorted { ($0.cursor, $0.id) < ($1.cursor, $1.id) }
            .map { .record($0) }
    }
}

@Suite("Push and pull against a model", .timeLimit(.minutes(2)))
struct PushPropertyTests {
    @Test(
        "PU30: any sequence of pushes leaves what the model says, and a refused push nothing",
        arguments: TestBackend.available, [1, 2, 3, 4])
    func anySequence(on backend: TestBackend, seed: UInt64) async throws {
        try await backend.withStorage { test in
            let space = try await test.makeSpace()
            var random = SeededRandom(seed: seed)
            var model = SpaceModel()
            for _ in 0..<80 {
                let changes = try ChangeSet(validating: self.changes(of: model, &random), limits: PushLimits())
                let cursor = model.push(changes.changes)
                let outcome = try await test.storage.push(Push(space: space, changes: changes))
                #expect(outcome.cursor == cursor, "seed \(seed)")
                let since = Int64.random(in: -1...model.cursor, using: &random)
                let pull = try await test.storage.collectPull(of: space, since: since)
                #expect(pull.meta.cursor == model.cursor)
                #expect(pull.entries == model.pull(since: since), "seed \(seed), since \(since)")
            }
        }
    }

    private func changes(of model: SpaceModel, _ random: inout SeededRandom) -> [PushParams.Change] {
        let ids = (1...8).shuffled(using: &random).prefix(Int.random(in: 0...4, using: &random))
        return ids.map { number in
            let current = model.records[.fixture(number)]?.cursor ?? 0
            let blobs: [String?] = [nil, "", "a", String(repeating: "b", count: 300)]
            return .fixture(
                number, blobs.randomElement(using: &random) ?? nil,
                at: Int.random(in: 0..<8, using: &random) == 0 ? Int64.random(in: -1...9, using: &random) : current,
                dek: Bool.random(using: &random) ? .wrappedDEK(fill: UInt8(number)) : nil)
        }
    }
}
