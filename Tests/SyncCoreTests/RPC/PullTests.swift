import NIOCore
import SyncAuth
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncCore

@Suite("pull", .timeLimit(.minutes(5)))
struct PullTests {
    private let alice = Principal.fixture("alice")
    private let bob = Principal.fixture("bob")

    private func count(_ answer: TestClient.Answer) throws -> Int64 {
        try answer.result.decode(as: ChunkCount.self).chunks
    }

    @Test("PUL-1: begin, record, commit, and the number of chunks", arguments: TestBackend.available)
    func oneRecord(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let change = PushParams.Change.fixture(1, "record-blob", dek: .wrappedDEK(epoch: 1))
            _ = try await client.push([change], to: alice.space)
            let answer = try await client.pull(alice.space)
            let space = alice.space.wireText
            #expect(answer.chunks.map(\.name) == ["pull.begin", "pull.record", "pull.commit"])
            #expect(
                try answer.chunks[0].data.decode()
                    == PullBegin(space: space, prev: 0, cursor: 1, keyGeneration: 1, rewrapEpoch: nil))
            #expect(
                try answer.chunks[1].data.decode()
                    == RecordEntry(
                        space: space, id: .fixture(1), blob: ByteBuffer(string: "record-blob"), cursor: 1,
                        dek: .wrappedDEK(epoch: 1), deleted: false))
            #expect(try answer.chunks[2].data.decode() == PullCommit(space: space, prev: 0, cursor: 1, count: 1))
            #expect(try count(answer) == 3)
        }
    }

    @Test("PUL-2: entries that cannot be served are skipped without a word", arguments: TestBackend.available)
    func skipped(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            _ = try await client.push([.fixture(1)], to: alice.space)
            let shared = try await harness.database.makeSharedSpace()
            let answer = try await client.answer(
                to: client.request(
                    .pull,
                    PullParams(spaces: [
                        .init(id: bob.space.wireText, since: 0), .init(id: "not-a-uuid", since: 0),
                        .init(id: alice.space.wireText, since: 0), .init(id: shared.wireText, since: 0),
                    ])))
            #expect(answer.chunks.map(\.name) == ["pull.begin", "pull.record", "pull.commit"])
            #expect(try count(answer) == 3)
        }
    }

    @Test(
        "SUB-19 of pull: first contact creates the personal space; an empty space is begin and commit",
        arguments: TestBackend.available)
    func firstContact(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let answer = try await harness.connect(alice).pull(alice.space)
            #expect(answer.chunks.map(\.name) == ["pull.begin", "pull.commit"])
            #expect(try await harness.storage.space(alice.space).clientID == alice.clientID)
        }
    }

    @Test(
        "PUL-7, PUL-8: record, member and file entries, each under its name; no prev_hash on the first member",
        arguments: TestBackend.available)
    func kinds(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            _ = try await client.push([.fixture(1)], to: alice.space)
            let first = PulledMember.fixture(1, cursor: 2)
            let second = PulledMember.fixture(2, cursor: 3)
            let file = PulledFile.fixture(of: .fixture(1), cursor: 4)
            try await harness.database.insertMember(first, into: alice.space)
            try await harness.database.insertMember(second, into: alice.space)
            try await harness.database.insertFile(file, into: alice.space)
            let answer = try await client.pull(alice.space)
            let space = alice.space.wireText
            #expect(
                answer.chunks.map(\.name) == [
                    "pull.begin", "pull.record", "pull.membership", "pull.membership", "pull.file", "pull.commit",
                ])
            #expect(
                try answer.chunks[2].data.decode()
                    == PullMembership(
                        space: space, cursor: 2,
                        entries: [
                            .init(
                                chainSequence: 1, previousHash: nil, entryHash: first.entryHash, payload: first.payload)
                        ]))
            #expect(
                try answer.chunks[3].data.decode(as: PullMembership.self).entries.map(\.previousHash)
                    == [second.previousHash])
            #expect(
                try answer.chunks[4].data.decode()
                    == PullFile(
                        space: space, id: file.id, recordID: file.recordID, size: file.size, dek: file.wrappedDEK,
                        cursor: 4, deleted: false))
            #expect(try answer.chunks[5].data.decode(as: PullCommit.self).count == 4)
            #expect(try count(answer) == 6)
        }
    }

    @Test(
        "PUL-9, PUL-10: tombstones from a cursor on, not from zero; an empty blob is a live record",
        arguments: TestBackend.available)
    func tombstones(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            _ = try await client.push([.fixture(1), .fixture(2, "")], to: alice.space)
            _ = try await client.push([.fixture(1, nil, at: 1)], to: alice.space)
            let space = alice.space.wireText
            let full = try await client.pull(alice.space, since: 0)
            #expect(full.chunks.count == 3)
            #expect(
                try full.chunks[1].data.decode()
                    == RecordEntry(
                        space: space, id: .fixture(2), blob: ByteBuffer(), cursor: 1, dek: nil, deleted: false))
            let rest = try await client.pull(alice.space, since: 1)
            #expect(
                try rest.chunks[1].data.decode()
                    == RecordEntry(space: space, id: .fixture(1), blob: nil, cursor: 2, dek: nil, deleted: true))
            #expect(try await client.pull(alice.space, since: -1).chunks.count == 4)
        }
    }

    @Test("PUL-11: a pending rewrap is in pull.begin", arguments: TestBackend.available)
    func rewrap(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            _ = try await client.push([], to: alice.space)
            try await harness.database.setRewrapEpoch(of: alice.space, to: 2)
            let begin: PullBegin = try await client.pull(alice.space).chunks[0].data.decode()
            #expect(begin.rewrapEpoch == 2)
        }
    }

    @Test(
        "rpc §5: a cursor ahead of the space is an empty pull; the requested spelling is echoed; twice is served twice",
        arguments: TestBackend.available)
    func echo(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            _ = try await client.push([.fixture(1)], to: alice.space)
            let upperCase = alice.space.wireText.uppercased()
            let answer = try await client.answer(
                to: client.request(
                    .pull,
                    PullParams(spaces: [
                        .init(id: upperCase, since: 99), .init(id: alice.space.wireText, since: 1),
                        .init(id: alice.space.wireText, since: 1),
                    ])))
            #expect(answer.chunks.count == 6)
            #expect(
                try answer.chunks[0].data.decode()
                    == PullBegin(space: upperCase, prev: 99, cursor: 1, keyGeneration: 1, rewrapEpoch: nil))
            #expect(try answer.chunks[1].data.decode() == PullCommit(space: upperCase, prev: 99, cursor: 1, count: 0))
            #expect(try count(answer) == 6)
        }
    }

    @Test("PUL-16, C29: 1,001 entries are refused; an empty list is no chunks", arguments: TestBackend.available)
    func entryLimit(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let entry = PullParams.Entry(id: SpaceID.random().wireText, since: 0)
            await #expect(throws: ErrorBody(code: .badRequest, message: "too many spaces in pull request")) {
                try await client.answer(
                    to: client.request(.pull, PullParams(spaces: Array(repeating: entry, count: 1_001))))
            }
            let answer = try await client.answer(
                to: client.request(.pull, PullParams(spaces: Array(repeating: entry, count: 1_000))))
            #expect(try count(answer) == 0)
            #expect(try count(await client.answer(to: client.request(.pull, PullParams(spaces: [])))) == 0)
        }
    }

    @Test("rpc §5: a storage that fails before pull.begin leaves the space out", arguments: TestBackend.available)
    func failsBeforeBegin(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            try await client.settle()
            await harness.storage.close()
            #expect(try count(await client.pull(alice.space)) == 0)
            try await client.settle()
            #expect(
                harness.logs.lines.contains {
                    $0.hasPrefix("error pull stream error") && $0.contains("method=pull")
                        && $0.contains("space_id=\(alice.space)")
                })
        }
    }

    /// Enough rows that a pull cannot be buffered whole: `count` records of `bytes` each.
    private func fill(_ space: SpaceID, _ count: Int, bytes: Int, _ harness: EngineHarness) async throws {
        let blob = ByteBuffer(repeating: 3, count: bytes)
        for start in stride(from: 1, through: count, by: 1_000) {
            let changes = (start..<min(start + 1_000, count + 1)).map {
                PushParams.Change(id: RecordID.fixtureText($0), blob: blob, expectedCursor: 0, dek: nil)
            }
            _ = try await harness.storage.push(changes, to: space, creator: "client")
        }
    }

    @Test("PUL-12: a storage that fails mid-stream is an error, without a commit", arguments: TestBackend.available)
    func failsMidStream(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            // More than all buffers of a socket hold.
            try await fill(alice.space, 1_000, bytes: 20_000, harness)
            let id = client.request(.pull, PullParams(spaces: [.init(id: alice.space.wireText, since: 0)]))
            guard case .chunk(_, "pull.begin", _) = try await client.next() else {
                Issue.record("no begin")
                return
            }
            try await harness.database.breakOpenPulls()
            var names: Set<String> = []
            let expected = ErrorBody(code: .internal, message: "pull stream failed")
            while true {
                let frame = try await client.next()
                if case .chunk(_, let name, _) = frame {
                    names.insert(name)
                    continue
                }
                #expect(frame == .failure(id: id, error: expected))
                break
            }
            #expect(!names.contains("pull.commit"))
            try await client.settle()
            let errors = harness.logs.lines.filter { $0.hasPrefix("error ") }
            #expect(errors.count == 1)
            let line = try #require(errors.first)
            #expect(line.hasPrefix("error pull stream error "))
            for word in ["space_id=\(alice.space)", "error=", "outcome=internal", "duration_ms="] {
                #expect(line.contains(word), "\(word)")
            }
        }
    }

    @Test(
        "PUL-14: a sync may arrive between chunks; the pull does not contain that push",
        arguments: TestBackend.available)
    func pushDuringPull(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = try await harness.subscriber(alice)
            try await fill(alice.space, 1_000, bytes: 100, harness)
            let id = client.request(.pull, PullParams(spaces: [.init(id: alice.space.wireText, since: 0)]))
            guard case .chunk(_, "pull.begin", let data) = try await client.next() else {
                Issue.record("no begin")
                return
            }
            let begin: PullBegin = try data.decode()
            #expect(begin.cursor == 1)
            // Room in the queue for the notification, which must not find it full.
            for _ in 1...32 { _ = try await client.next() }
            let pusher = harness.connect(alice)
            async let pushed = pusher.push([.fixture(5_000)], to: alice.space)
            let answer = try await client.answer(to: id)
            #expect(try await pushed == .accepted(cursor: 2))
            #expect(answer.chunks.count == 1_000 - 32 + 1)
            let commit: PullCommit = try #require(answer.chunks.last).data.decode()
            #expect(commit == PullCommit(space: alice.space.wireText, prev: 0, cursor: 1, count: 1_000))
        }
    }

    @Test(
        "PUL-15, PL11: 100,000 records to a slow reader: never more than the queue's bounds in memory, correct count",
        arguments: TestBackend.available)
    func boundedMemory(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            try await fill(alice.space, 100_000, bytes: 10, harness)
            let id = client.request(.pull, PullParams(spaces: [.init(id: alice.space.wireText, since: 0)]))
            var records = 0
            var answered = false
            var unreadMax = 0
            while !answered {
                unreadMax = max(unreadMax, client.connection.unreadFrames)
                switch try await client.next() {
                case .chunk(id: id, "pull.record", _): records += 1
                case .response(id: id, let result):
                    #expect(try result.decode(as: ChunkCount.self).chunks == 100_002)
                    answered = true
                default: break
                }
            }
            #expect(records == 100_000)
            // A page is queued as a whole, when the answers before it have left half of the queue.
            #expect(unreadMax < Limits.outboundFramesMax / 2 + Limits.pullPageEntriesMax)
        }
    }

    @Test(
        "architecture R1: a connection that ends during a pull gives its snapshot back", arguments: [false, true],
        TestBackend.available)
    func freesSnapshot(byClosing: Bool, on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            try await fill(alice.space, 2_000, bytes: 1_000, harness)
            client.request(.pull, PullParams(spaces: [.init(id: alice.space.wireText, since: 0)]))
            _ = try await client.next()
            try await harness.database.waitUntil { $0.pullsOpen == 1 }
            if byClosing { client.connection.sendClose() } else { client.connection.fail() }
            await harness.waitUntilServed(client)
            try await harness.database.waitUntil { $0.pullsOpen == 0 }
            #expect(!harness.logs.lines.contains { $0.hasPrefix("error") })
        }
    }
}
