import NIOCore
import SyncAuth
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncCore

@Suite("push and sync", .timeLimit(.minutes(5)))
struct PushTests {
    private let alice = Principal.fixture("alice")
    private let bob = Principal.fixture("bob")

    @Test("PSH-1: the first push creates the personal space and answers its cursor", arguments: TestBackend.available)
    func firstPush(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { (harness) async throws in
            let client = harness.connect(alice)
            #expect(try await client.push([.fixture(1)], to: alice.space) == .accepted(cursor: 1))
            #expect(try await client.push([.fixture(1, "again", at: 1)], to: alice.space) == .accepted(cursor: 2))
            #expect(try await harness.storage.space(alice.space).clientID == alice.clientID)
        }
    }

    @Test(
        "PSH-2, PSH-3: a bad space id is bad_request, somebody else's space forbidden, known or not",
        arguments: TestBackend.available)
    func refusedSpaces(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let invalid: PushResult = try await client.call(.push, PushParams(space: "not-a-uuid", changes: []))
            #expect(invalid == .refused(.badRequest))
            _ = try await harness.storage.getOrCreateSpace(bob.space, clientID: "other")
            let shared = try await harness.database.makeSharedSpace()
            for space in [SpaceID.random(), bob.space, shared] {
                #expect(try await client.push([.fixture(1)], to: space) == .refused(.forbidden))
                // Refused before the changes are looked at.
                let result: PushResult = try await client.call(
                    .push,
                    PushParams(
                        space: space.wireText, ucan: "not.a.token",
                        changes: [.init(id: "invalid-id", blob: nil, expectedCursor: 0, dek: nil)]))
                #expect(result == .refused(.forbidden))
            }
        }
    }

    @Test(
        "PSH-5, PSH-14: a stale change is a conflict and nothing of the push is written",
        arguments: TestBackend.available)
    func conflict(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let watcher = try await harness.subscriber(alice)
            _ = try await client.push([.fixture(1)], to: alice.space)
            #expect(try await client.push([.fixture(2), .fixture(1)], to: alice.space) == .refused(.conflict))
            #expect(try await harness.storage.recordExists(.fixture(2), in: alice.space) == false)
            try await client.settle()
            #expect(try await watcher.notification().cursor == 1)
            #expect(watcher.connection.unreadFrames == 0)
        }
    }

    @Test(
        "PSH-6, PSH-7, NTF-4, NTF-5: other subscribers of the space get one sync, everybody else none",
        arguments: TestBackend.available)
    func broadcast(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let pusher = try await harness.subscriber(alice)
            let watcher = try await harness.subscriber(alice)
            let idle = harness.connect(alice)
            let stranger = try await harness.subscriber(bob)
            try await idle.settle()
            let blob = ByteBuffer(bytes: [7, 8, 9])
            let change = PushParams.Change(
                id: RecordID.fixtureText(1), blob: blob, expectedCursor: 0, dek: .wrappedDEK(epoch: 1))
            #expect(try await pusher.push([change], to: alice.space) == .accepted(cursor: 1))
            let record = RecordEntry(
                space: nil, id: .fixture(1), blob: blob, cursor: 1, dek: .wrappedDEK(epoch: 1), deleted: false)
            #expect(
                try await watcher.notification()
                    == SyncNotification(
                        space: alice.space, prev: 0, cursor: 1, keyGeneration: 1, rewrapEpoch: nil, records: [record]))
            try await pusher.settle()
            #expect(pusher.earlierNotifications.isEmpty)
            for connection in [watcher, idle, stranger].map(\.connection) { #expect(connection.unreadFrames == 0) }
        }
    }

    @Test("NTF-1, S13: the bytes of a sync are those of the contract, apart from key_generation")
    func syncBytes() throws {
        let space = try #require(SpaceID(wireText: "cf78fa75-e714-5073-8972-126a66255b39"))
        var dek = ByteBuffer(bytes: [0, 0, 0, 1])
        dek.writeRepeatingByte(0xAA, count: 40)
        let changes = [
            RecordChange(id: .fixture(1), blob: ByteBuffer(bytes: [1, 2, 3]), expectedCursor: 0, wrappedDEK: dek),
            RecordChange(id: .fixture(2), blob: nil, expectedCursor: 41, wrappedDEK: dek),
        ]
        let frame = FrameEncoder.sync(
            SyncNotification(space: space, changes: changes, receipt: PushReceipt(cursor: 77, keyGeneration: 0)))
        #expect(
            frame
                == ByteBuffer(
                    hex: """
                        a3647479706502666d6574686f646473796e6366706172616d73a5657370616365782463663738666137352d65373134
                        2d353037332d383937322d3132366136363235356233396470726576184c66637572736f72184d6e6b65795f67656e65
                        726174696f6e00677265636f72647382a4626964782430313934303065382d376235642d373030302d383030302d3030
                        3030303030303030303164626c6f624301020366637572736f72184d6364656b582c00000001aaaaaaaaaaaaaaaaaaaa
                        aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa3626964782430313934303065382d376235
                        642d373030302d383030302d30303030303030303030303266637572736f72184d6764656c65746564f5
                        """))
    }

    @Test(
        "NTF-2, PSH-15: three changes, one a delete, are one sync of three records in request order",
        arguments: TestBackend.available)
    func deletes(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let pusher = harness.connect(alice)
            _ = try await pusher.push([.fixture(2)], to: alice.space)
            let watcher = try await harness.subscriber(alice)
            let changes: [PushParams.Change] = [
                .fixture(3), .fixture(2, nil, at: 1, dek: .wrappedDEK()), .fixture(1, dek: .wrappedDEK()),
            ]
            #expect(try await pusher.push(changes, to: alice.space) == .accepted(cursor: 2))
            let sync = try await watcher.notification()
            #expect(sync.prev == 1)
            #expect(
                sync.records == [
                    .init(
                        space: nil, id: .fixture(3), blob: ByteBuffer(string: "blob"), cursor: 2, dek: nil,
                        deleted: false),
                    .init(space: nil, id: .fixture(2), blob: nil, cursor: 2, dek: nil, deleted: true),
                    .init(
                        space: nil, id: .fixture(1), blob: ByteBuffer(string: "blob"), cursor: 2, dek: .wrappedDEK(),
                        deleted: false),
                ])
        }
    }

    @Test(
        "rpc §17 row 7: a sync carries the space's real key generation and rewrap epoch",
        arguments: TestBackend.available)
    func epochs(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let pusher = harness.connect(alice)
            let watcher = try await harness.subscriber(alice)
            try await harness.database.setKeyGenerations(of: alice.space, current: 5, minimum: 1)
            try await harness.database.setRewrapEpoch(of: alice.space, to: 5)
            _ = try await pusher.push([.fixture(1)], to: alice.space)
            let sync = try await watcher.notification()
            #expect(sync.keyGeneration == 5)
            #expect(sync.rewrapEpoch == 5)
        }
    }

    @Test("NTF-6: a sync that no client could read becomes a nudge", arguments: TestBackend.available)
    func nudge(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let pusher = harness.connect(alice)
            let watcher = try await harness.subscriber(alice)
            func changes(_ numbers: ClosedRange<Int>, bytes: Int) -> [PushParams.Change] {
                numbers.map {
                    PushParams.Change(
                        id: RecordID.fixtureText($0), blob: ByteBuffer(repeating: 1, count: bytes), expectedCursor: 0,
                        dek: nil)
                }
            }
            _ = try await pusher.push(changes(1...100, bytes: 41_800), to: alice.space)
            #expect(try await watcher.notification().records.count == 100)
            _ = try await pusher.push(changes(101...200, bytes: 41_900), to: alice.space)
            #expect(
                try await watcher.notification()
                    == SyncNotification(
                        space: alice.space, prev: 2, cursor: 2, keyGeneration: 1, rewrapEpoch: nil, records: []))
        }
    }

    @Test(
        "PSH-12, PSH-13, PSH-22: unacceptable changes, too large before invalid",
        arguments: [
            ([.init(id: "invalid-id", blob: nil, expectedCursor: 0, dek: nil)], .badRequest),
            ([.fixture(1), .fixture(2), .fixture(1)], .badRequest),
            (
                [
                    .init(id: "invalid-id", blob: nil, expectedCursor: 0, dek: nil),
                    .init(
                        id: RecordID.fixtureText(1), blob: ByteBuffer(repeating: 0, count: 4_193_281),
                        expectedCursor: 0, dek: nil),
                ], .payloadTooLarge
            ),
            (
                [
                    .init(
                        id: RecordID.fixtureText(1), blob: ByteBuffer(repeating: 0, count: 4_193_237),
                        expectedCursor: 0, dek: .wrappedDEK())
                ], .payloadTooLarge
            ),
        ] as [(changes: [PushParams.Change], code: RPCErrorCode)], TestBackend.available)
    func unacceptable(example: (changes: [PushParams.Change], code: RPCErrorCode), on backend: TestBackend) async throws
    {
        try await EngineHarness.run(on: backend) { (harness) async throws in
            let client = harness.connect(alice)
            #expect(try await client.push(example.changes, to: alice.space) == .refused(example.code))
            await #expect(throws: StorageError.spaceNotFound) { try await harness.storage.space(alice.space) }
        }
    }

    @Test("PSH-22: blob and DEK of exactly 4,193,280 bytes can be stored and pulled", arguments: TestBackend.available)
    func largest(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { (harness) async throws in
            let client = harness.connect(alice)
            let blob = ByteBuffer(repeating: 5, count: 4_193_280 - 44)
            let change = PushParams.Change(
                id: RecordID.fixtureText(1), blob: blob, expectedCursor: 0, dek: .wrappedDEK())
            #expect(try await client.push([change], to: alice.space) == .accepted(cursor: 1))
            client.request(.pull, PullParams(spaces: [.init(id: alice.space.wireText, since: 0)]))
            for _ in 1...4 {
                guard case .frame(let bytes) = await client.connection.next() else {
                    Issue.record("closed")
                    return
                }
                #expect(bytes.readableBytes <= Limits.messageBytesMax)
            }
        }
    }

    @Test("operations §2.4: the blob limit is configurable", arguments: TestBackend.available)
    func blobLimit(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) {
            $0.recordBlobBytesMax = 3
        } _: { (harness) async throws in
            let client = harness.connect(alice)
            #expect(try await client.push([.fixture(1, "four")], to: alice.space) == .refused(.payloadTooLarge))
            #expect(try await client.push([.fixture(1, "3ch")], to: alice.space) == .accepted(cursor: 1))
        }
    }

    @Test(
        "PSH-16: an empty push on an empty space answers ok without cursor and broadcasts nothing",
        arguments: TestBackend.available)
    func empty(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let watcher = try await harness.subscriber(alice)
            #expect(try await client.push([], to: alice.space) == .accepted(cursor: 0))
            _ = try await client.push([.fixture(1)], to: alice.space)
            #expect(try await client.push([], to: alice.space) == .accepted(cursor: 1))
            #expect(try await watcher.notification().cursor == 1)
            try await client.settle()
            #expect(watcher.connection.unreadFrames == 0)
        }
    }

    @Test(
        "PSH-19: a storage failure is internal, without a sync; its detail goes to the log",
        arguments: TestBackend.available)
    func storageFailure(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let watcher = try await harness.subscriber(alice)
            try await client.settle()
            await harness.storage.close()
            #expect(try await client.push([.fixture(1)], to: alice.space) == .refused(.internal))
            #expect(try await client.push([.fixture(1)], to: .random()) == .refused(.internal))
            try await client.settle()
            #expect(watcher.connection.unreadFrames == 0)
            let failures = harness.logs.lines.filter { $0.hasPrefix("error RPC internal error") }
            #expect(failures.count == 2)
            for word in [
                "error=", "unavailable", "method=push", "outcome=internal", "duration_ms=", "space_id=", "request_id=",
                "connection_id=",
            ] {
                #expect(failures.allSatisfy { $0.contains(word) }, "\(word)")
            }
            #expect(failures.first?.contains("space_id=\(alice.space)") == true)
            #expect(
                harness.logs.lines.contains {
                    $0.hasPrefix("debug RPC finished") && $0.contains("method=push")
                        && $0.contains("outcome=internal") && $0.contains("space_id=\(alice.space)")
                })
        }
    }

    @Test(
        "PSH-18, Δ-S4: DEKs of an epoch below the minimum of a shared space are key_generation_stale",
        arguments: TestBackend.available)
    func staleKeyGeneration(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            var member = alice
            member.personalSpace = try await harness.database.makeSharedSpace(keyGeneration: 2, minKeyGeneration: 2)
            let client = harness.connect(member)
            let stale = PushParams.Change.fixture(1, dek: .wrappedDEK(epoch: 1))
            let fresh = PushParams.Change.fixture(1, dek: .wrappedDEK(epoch: 2))
            #expect(try await client.push([stale], to: member.space) == .refused(.keyGenerationStale))
            #expect(try await client.push([fresh], to: member.space) == .accepted(cursor: 1))
        }
    }

    @Test(
        "PSH-21: a record id in upper case is stored and broadcast in canonical form", arguments: TestBackend.available)
    func upperCaseRecord(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let watcher = try await harness.subscriber(alice)
            let id = RecordID.random()
            let change = PushParams.Change(
                id: id.wireText.uppercased(), blob: ByteBuffer(), expectedCursor: 0, dek: nil)
            _ = try await client.push([change], to: alice.space)
            #expect(try await watcher.notification().records.map(\.id) == [id])
            #expect(try await harness.storage.recordExists(id, in: alice.space))
        }
    }
}
