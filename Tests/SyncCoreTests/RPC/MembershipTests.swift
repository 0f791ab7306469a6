import NIOCore
import SyncAuth
import SyncProtocol
import SyncStorage
import SyncTesting
import Synchronization
import Testing

@testable import SyncCore

/// What does not depend on delegations, in the caller's personal space; the rest is in `SharedSpaceTests`.
@Suite("membership", .timeLimit(.minutes(5)))
struct MembershipTests {
    private let alice = Principal.fixture("alice")

    @Test(
        "MAP-1, MAP-9, MLS-1, MLS-4: entries get numbers, versions and cursors; the others hear of each, the appender not",
        arguments: TestBackend.available)
    func append(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let appender = try await harness.subscriber(alice)
            let watcher = try await harness.subscriber(alice)
            let first = MembershipAppendParams.fixture("first", to: alice.space)
            #expect(try await appender.append(first) == MembershipAppendResult(chainSequence: 1, metadataVersion: 1))
            _ = try await appender.push([.fixture(1)], to: alice.space)
            let second = MembershipAppendParams.fixture(
                "second", to: alice.space, version: 1, after: first.entryHash)
            #expect(try await appender.append(second) == MembershipAppendResult(chainSequence: 2, metadataVersion: 2))

            let entries = [
                MembershipEntry(
                    chainSequence: 1, previousHash: nil, entryHash: first.entryHash, payload: first.payload),
                MembershipEntry(
                    chainSequence: 2, previousHash: first.entryHash, entryHash: second.entryHash,
                    payload: second.payload),
            ]
            #expect(
                try await watcher.hear(.membership)
                    == MembershipNotification(space: alice.space, cursor: 1, entries: [entries[0]]))
            #expect(try await watcher.notification().cursor == 2)
            #expect(
                try await watcher.hear(.membership)
                    == MembershipNotification(space: alice.space, cursor: 3, entries: [entries[1]]))
            #expect(try await appender.takeNotifications().isEmpty)
            #expect(
                try await watcher.members(of: alice.space) == MembershipListResult(entries: entries, metadataVersion: 2)
            )
        }
    }

    @Test(
        "MLS-5: only entries behind since_seq are listed, with the version of the log", arguments: TestBackend.available
    )
    func since(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            var last: ByteBuffer?
            for number in 0..<3 {
                let entry = MembershipAppendParams.fixture(
                    "\(number)", to: alice.space, version: Int32(number), after: last)
                _ = try await client.append(entry)
                last = entry.entryHash
            }
            for (since, expected) in [(-1, [1, 2, 3]), (0, [1, 2, 3]), (2, [3]), (3, []), (9, [])] as [(Int32, [Int32])]
            {
                let log = try await client.members(of: alice.space, since: since)
                #expect(log.entries.map(\.chainSequence) == expected)
                #expect(log.metadataVersion == 3)
            }
        }
    }

    @Test(
        "first contact by membership.list, append and revoke creates the personal space",
        arguments: TestBackend.available)
    func firstContact(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let (bob, carol) = (Principal.fixture("bob"), Principal.fixture("carol"))
            #expect(
                try await harness.connect(alice).members(of: alice.space)
                    == MembershipListResult(entries: [], metadataVersion: 0))
            _ = try await harness.connect(bob).append(.fixture("first", to: bob.space))
            try await harness.connect(carol).revoke("cid", in: carol.space)
            for owner in [alice, bob, carol] {
                #expect(try await harness.storage.space(owner.space).clientID == owner.clientID)
            }
        }
    }

    @Test(
        "MAP-2: another version, or a hash that is not the last one's, is a conflict; nothing is written or announced",
        arguments: TestBackend.available)
    func conflict(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let watcher = try await harness.subscriber(alice)
            let first = MembershipAppendParams.fixture("first", to: alice.space)
            let stray = ByteBuffer(repeating: 1, count: 32)
            let conflict = ErrorBody(code: .conflict, message: "conflict")
            await #expect(throws: conflict) {
                try await client.append(.fixture("first", to: alice.space, version: 1))
            }
            await #expect(throws: conflict) {
                try await client.append(.fixture("first", to: alice.space, after: stray))
            }
            _ = try await client.append(first)
            for (version, previous) in [(0, nil), (1, nil), (1, stray), (2, first.entryHash)]
                as [(Int32, ByteBuffer?)]
            {
                await #expect(throws: conflict) {
                    try await client.append(
                        .fixture("second", to: alice.space, version: version, after: previous))
                }
            }
            #expect(try await client.members(of: alice.space).entries.count == 1)
            #expect(try await watcher.takeNotifications() == ["membership"])
            #expect(try await harness.storage.space(alice.space).cursor == 1)
        }
    }

    @Test("MAP-4, MAP-5: what is wrong with an entry, the first thing first", arguments: TestBackend.available)
    func invalidEntry(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            func expect(_ message: String, _ change: (inout MembershipAppendParams) -> Void) async {
                // From the last check to the first, each change makes an earlier one fail too.
                var params = MembershipAppendParams.fixture("payload", to: alice.space)
                change(&params)
                await #expect(throws: ErrorBody(code: .badRequest, message: message)) {
                    try await client.append(params)
                }
            }
            await expect("entry_hash does not match SHA-256 of payload") {
                $0.payload = ByteBuffer(string: "other")
                $0.space = SpaceID.random().wireText
            }
            await expect("payload must not be empty") { $0.payload = ByteBuffer() }
            await expect("entry_hash must be 32 bytes") {
                $0.entryHash = ByteBuffer(repeating: 0, count: 31)
                $0.payload = ByteBuffer()
            }
            await expect("entry_hash must be 32 bytes") { $0.entryHash = ByteBuffer() }
            await expect("invalid space id") {
                $0.space = "not-a-uuid"
                $0.entryHash = ByteBuffer()
            }
            await expect("invalid space id") { $0.space = "" }
        }
    }

    @Test("MAP-5: the hash is SHA-256 of the payload alone", arguments: TestBackend.available)
    func hashVector(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let entry = MembershipAppendParams(
                space: alice.space.wireText, expectedVersion: 0, previousHash: ByteBuffer(),
                entryHash: ByteBuffer(hex: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
                payload: ByteBuffer(string: "abc"))
            let client = harness.connect(alice)
            let appended = try await client.append(entry)
            #expect(appended.chainSequence == 1)
            #expect(try await client.members(of: alice.space).entries.map(\.previousHash) == [nil])
        }
    }

    @Test(
        "rpc §2.6: a payload that could not be delivered is too large, the largest other one is not; nor is its list",
        arguments: TestBackend.available)
    func size(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let watcher = try await harness.subscriber(alice)
            let largest = ByteBuffer(repeating: 1, count: Limits.membershipPayloadBytesMax)
            let tooLarge = ByteBuffer(repeating: 1, count: Limits.membershipPayloadBytesMax + 1)
            await #expect(throws: ErrorBody(code: .payloadTooLarge, message: "payload too large")) {
                try await client.append(.fixture(tooLarge, to: alice.space))
            }
            let entry = MembershipAppendParams.fixture(largest, to: alice.space)
            _ = try await client.append(entry)
            let heard: MembershipNotification = try await watcher.hear(.membership)
            #expect(heard.entries.map(\.payload.readableBytes) == [largest.readableBytes])
            #expect(try await client.members(of: alice.space).entries.count == 1)
            _ = try await client.append(
                .fixture("small", to: alice.space, version: 1, after: entry.entryHash))
            let large = ByteBuffer(repeating: 2, count: 2_000)
            _ = try await client.append(
                .fixture(
                    large, to: alice.space, version: 2,
                    after: MembershipAppendParams.fixture("small", to: alice.space).entryHash))
            await #expect(
                throws: ErrorBody(code: .payloadTooLarge, message: "membership log too large, use since_seq")
            ) { try await client.members(of: alice.space) }
            #expect(try await client.members(of: alice.space, since: 1).entries.count == 2)
        }
    }

    @Test(
        "MAP-3, MLS-3, MRV-5: params that are a text string have the message of their method",
        arguments: TestBackend.available)
    func undecodable(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            for (method, message) in [
                (Method.membershipAppend, "invalid membership append params"),
                (.membershipList, "invalid membership list params"),
                (.membershipRevoke, "invalid membership revoke params"),
            ] {
                await #expect(throws: ErrorBody(code: .invalidParams, message: message)) {
                    try await client.call(method, hex: "63666f6f")
                }
            }
        }
    }

    @Test(
        "MRV-4, MRV-5, MLS-3: an empty CID counts before the space id, which is checked for revoke and list",
        arguments: TestBackend.available)
    func invalidRevoke(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            func revoke(_ cid: String, _ space: String) async throws {
                let params = MembershipRevokeParams(space: space, ucanCID: cid)
                _ = try await client.call(.membershipRevoke, params, as: EmptyMap.self)
            }
            await #expect(throws: ErrorBody(code: .badRequest, message: "invalid ucan cid")) {
                try await revoke("", "not-a-uuid")
            }
            await #expect(throws: ErrorBody(code: .badRequest, message: "invalid space id")) {
                try await revoke("cid", "not-a-uuid")
            }
            await #expect(throws: ErrorBody(code: .badRequest, message: "invalid space id")) {
                try await client.call(
                    .membershipList, MembershipListParams(space: "not-a-uuid"), as: MembershipListResult.self)
            }
        }
    }

    @Test(
        "MRV-1, MRV-6, MRV-9: the others hear of each revocation, repeats included, before the revoker has its answer",
        arguments: TestBackend.available)
    func revoke(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let revoker = try await harness.subscriber(alice)
            let watcher = try await harness.subscriber(alice)
            for _ in 0..<2 {
                let early = Mutex(-1)
                harness.hooks.beforeRevoking { early.withLock { $0 = watcher.connection.unreadFrames } }
                try await revoker.revoke("any text at all", in: alice.space)
                #expect(early.withLock { $0 } == 0, "nobody hears of what is not stored")
                #expect(watcher.connection.unreadFrames == 1)
                #expect(
                    try await watcher.hear(.revoked)
                        == RevokedNotification(space: alice.space, reason: "ucan_revoked"))
            }
            #expect(try await revoker.takeNotifications().isEmpty)
            #expect(try await harness.storage.access(to: alice.space, with: ["any text at all"]).isAnyRevoked)
        }
    }

    @Test(
        "MRV-2, MLS-2: without a delegation another space is forbidden, existing or not",
        arguments: TestBackend.available)
    func forbidden(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let shared = try await harness.database.makeSharedSpace()
            for space in [shared, .random(), Principal.fixture("bob").space] {
                let forbidden = ErrorBody(code: .forbidden, message: "forbidden")
                await #expect(throws: forbidden) { try await client.revoke("cid", in: space) }
                await #expect(throws: forbidden) { try await client.members(of: space) }
                await #expect(throws: forbidden) { try await client.append(.fixture("entry", to: space)) }
            }
        }
    }

    @Test(
        "MRV-3, MLS-7, C9: a storage failure is internal, never forbidden, and nobody hears of it",
        arguments: TestBackend.available)
    func storageFailure(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let watcher = try await harness.subscriber(alice)
            let shared = try await harness.database.makeSharedSpace()
            try await client.settle()
            await harness.storage.close()
            for space in [alice.space, shared] {
                let failure = ErrorBody(code: .internal, message: "internal")
                await #expect(throws: failure) { try await client.revoke("cid", in: space) }
                await #expect(throws: failure) { try await client.members(of: space) }
                await #expect(throws: failure) { try await client.append(.fixture("entry", to: space)) }
            }
            #expect(try await watcher.takeNotifications().isEmpty)
        }
    }
}
