import NIOCore
import SyncAuth
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncCore

@Suite("Lanes of a connection (R2)", .timeLimit(.minutes(5)))
struct LaneTests {
    private let alice = Principal.fixture("alice")

    /// `megabytes` records of 1 MiB in the personal space.
    private func fill(_ megabytes: Int, _ harness: EngineHarness) async throws {
        let blob = ByteBuffer(repeating: 3, count: 1_048_576)
        for number in 1...megabytes {
            let change = PushParams.Change(
                id: RecordID.fixtureText(number), blob: blob, expectedCursor: 0, dek: nil)
            _ = try await harness.storage.push([change], to: alice.space, creator: "client")
        }
    }

    private func pullAll(_ client: TestClient) -> String {
        client.request(.pull, PullParams(spaces: [.init(id: alice.space.wireText, since: 0)]))
    }

    @Test(
        "PUL-13 under R2: a request behind a 40 MB pull is answered within the queue's bounds, not after the pull",
        arguments: TestBackend.available)
    func overtakes(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            try await fill(40, harness)
            let client = harness.connect(alice)
            // While a commit is slow the client goes on reading; that says nothing of the lanes.
            var recordsBefore: [Int] = []
            repeat {
                let records = 40 + recordsBefore.count
                recordsBefore.append(try await self.recordsBeforeAnswer(client, of: records))
            } while recordsBefore.count < 5 && recordsBefore.last ?? 0 > 12
            #expect(recordsBefore.last ?? .max <= 12, "answered after \(recordsBefore) MiB")
        }
    }

    /// Pulls `records` and pushes another one meanwhile.
    ///
    /// - Returns: What came of the pull before the answer to the push.
    private func recordsBeforeAnswer(_ client: TestClient, of records: Int) async throws -> Int {
        let pull = self.pullAll(client)
        guard case .chunk(id: pull, "pull.begin", _) = try await client.next() else {
            Issue.record("no begin")
            return .max
        }
        let change = PushParams.Change.fixture(1_000 + records)
        let push = client.request(.push, PushParams(space: alice.space.wireText, changes: [change]))
        var (before, after, pushAnswered) = (0, 0, false)
        while true {
            switch try await client.next() {
            case .chunk(id: pull, "pull.record", _):
                if pushAnswered { after += 1 } else { before += 1 }
                continue
            case .response(id: push, let result):
                #expect(try result.decode(as: PushResult.self) == .accepted(cursor: Int64(records) + 1))
                pushAnswered = true
                continue
            case .response(id: pull, let result):
                #expect(try result.decode(as: ChunkCount.self).chunks == records + 2)
            default: continue
            }
            break
        }
        if !pushAnswered { _ = try await client.answer(to: push) }
        #expect(before + after == records)
        return before
    }

    @Test("R2: chunks of two pulls never interleave, and each precedes its response", arguments: TestBackend.available)
    func noInterleaving(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            _ = try await client.push((1...300).map { .fixture($0) }, to: alice.space)
            let pulls = (1...5).map { _ in pullAll(client) }
            var finished: [String] = []
            while finished.count < pulls.count {
                switch try await client.next() {
                case .chunk(let id, _, _): #expect(id == pulls[finished.count])
                case .response(let id, _): finished.append(id)
                default: break
                }
            }
            #expect(finished == pulls)
        }
    }

    @Test("W-62, R2: a pull sees the effects of every request before it", arguments: TestBackend.available)
    func seesEarlierRequests(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            for number in 1...20 {
                let push = client.request(.push, PushParams(space: alice.space.wireText, changes: [.fixture(number)]))
                let pull = pullAll(client)
                _ = try await client.answer(to: push)
                let begin: PullBegin = try await client.answer(to: pull).chunks[0].data.decode()
                #expect(begin.cursor == Int64(number))
            }
        }
    }

    @Test(
        "R2: when the streaming lane is full the connection is not read, and everything is answered in the end",
        arguments: TestBackend.available)
    func fullLane(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            try await fill(6, harness)
            let client = harness.connect(alice)
            let total = 3 * Limits.streamingRequestsQueuedMax
            let pulls = (1...total).map { _ in pullAll(client) }
            let last = client.request(.subscribe, SubscribeParams(spaces: []))
            guard case .chunk = try await client.next() else {
                Issue.record("no begin")
                return
            }
            // One in progress, the queue, and one that waits for room in it.
            try await eventually {
                client.connection.unreceivedMessages <= total + 1 - (Limits.streamingRequestsQueuedMax + 2)
            }
            for _ in 1...1_000 { await Task.yield() }
            #expect(client.connection.unreceivedMessages == total + 1 - (Limits.streamingRequestsQueuedMax + 2))
            var answered: Set<String> = []
            while answered.count < total + 1 {
                if case .response(let id, _) = try await client.next() { answered.insert(id) }
            }
            #expect(answered == Set(pulls + [last]))
        }
    }

    @Test("wire §12: a client that does not read stalls its own requests only", arguments: TestBackend.available)
    func stalls(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let lazy = harness.connect(alice)
            for _ in 1...300 { lazy.request(.subscribe, SubscribeParams(spaces: [])) }
            let other = harness.connect(alice)
            for number in 1...5 { _ = try await other.push([.fixture(number)], to: alice.space) }
            let answersMax = Limits.outboundFramesMax / 2
            try await eventually { lazy.connection.unreadFrames >= answersMax }
            for _ in 1...1_000 { await Task.yield() }
            #expect(lazy.connection.unreadFrames == answersMax)
            #expect(lazy.connection.unreceivedMessages == 300 - answersMax - 1)
            for _ in 1...300 { _ = try await lazy.next() }
        }
    }
}
