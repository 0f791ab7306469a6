import NIOCore
import SyncAuth
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncCore

@Suite("subscribe and unsubscribe", .timeLimit(.minutes(5)))
struct SubscribeTests {
    private let alice = Principal.fixture("alice")
    private let bob = Principal.fixture("bob")

    @Test(
        "SUB-1: the personal space with its cursor, key generation and rewrap epoch", arguments: TestBackend.available)
    func personal(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            _ = try await client.push([.fixture(1)], to: alice.space)
            try await harness.database.setKeyGenerations(of: alice.space, current: 3, minimum: 1)
            try await harness.database.setRewrapEpoch(of: alice.space, to: 2)
            let result = try await client.subscribe(alice.space)
            let expected = SubscribeResult.Subscribed(
                id: alice.space.wireText, cursor: 1, keyGeneration: 3, rewrapEpoch: 2)
            #expect(result == SubscribeResult(spaces: [expected]))
        }
    }

    @Test(
        "SUB-2, SUB-3: 1,001 entries are refused and nothing is subscribed, 1,000 are processed",
        arguments: TestBackend.available)
    func tooMany(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let entry = SubscribeParams.Entry(id: alice.space.wireText)
            await #expect(throws: ErrorBody(code: .badRequest, message: "too many spaces in subscribe request")) {
                try await client.call(
                    .subscribe, SubscribeParams(spaces: Array(repeating: entry, count: 1_001)),
                    as: SubscribeResult.self)
            }
            let pusher = harness.connect(alice)
            _ = try await pusher.push([.fixture(1)], to: alice.space)
            try await pusher.settle()
            #expect(client.connection.unreadFrames == 0)
            let result: SubscribeResult = try await client.call(
                .subscribe, SubscribeParams(spaces: Array(repeating: entry, count: 1_000)))
            #expect(result.spaces.count == 1_000)
        }
    }

    @Test(
        "SUB-4, SUB-5, SUB-20: bad ids and foreign spaces fail by themselves, in request order, existing or not",
        arguments: TestBackend.available)
    func failures(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            _ = try await harness.storage.getOrCreateSpace(bob.space, clientID: "other")
            let shared = try await harness.database.makeSharedSpace()
            let unknown = SpaceID.random()
            let result: SubscribeResult = try await client.call(
                .subscribe,
                SubscribeParams(spaces: [
                    .init(id: "not-a-uuid"), .init(id: unknown.wireText), .init(id: alice.space.wireText),
                    .init(id: bob.space.wireText), .init(id: shared.wireText, ucan: "not.a.token"), .init(id: ""),
                ]))
            #expect(result.spaces.map(\.id) == [alice.space.wireText])
            #expect(
                result.errors == [
                    .init(space: "not-a-uuid", error: .badRequest), .init(space: unknown.wireText, error: .forbidden),
                    .init(space: bob.space.wireText, error: .forbidden),
                    .init(space: shared.wireText, error: .forbidden), .init(space: "", error: .badRequest),
                ])
            await #expect(throws: StorageError.spaceNotFound) { try await harness.storage.space(unknown) }
        }
    }

    @Test("SUB-13: an empty list gives an empty result", arguments: TestBackend.available)
    func empty(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let result = try await client.subscribe()
            #expect(result == SubscribeResult(spaces: []))
        }
    }

    @Test("SUB-17, SUB-18: there are no peers, asked for or not", arguments: TestBackend.available)
    func peers(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let result: SubscribeResult = try await client.call(
                .subscribe,
                SubscribeParams(spaces: [
                    .init(id: alice.space.wireText, presence: true), .init(id: alice.space.wireText),
                ]))
            #expect(result.spaces.allSatisfy { $0.peers.isEmpty })
        }
    }

    @Test(
        "SUB-19: first contact creates the personal space under the caller's client id, once",
        arguments: TestBackend.available)
    func firstContact(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            await #expect(throws: StorageError.spaceNotFound) { try await harness.storage.space(alice.space) }
            let result = try await harness.connect(alice).subscribe(alice.space)
            #expect(result.spaces == [.init(id: alice.space.wireText, cursor: 0, keyGeneration: 1)])
            #expect(try await harness.storage.space(alice.space).clientID == alice.clientID)
            var otherClient = alice
            otherClient.clientID = "other"
            _ = try await harness.connect(otherClient).subscribe(alice.space)
            #expect(try await harness.storage.space(alice.space).clientID == alice.clientID)
        }
    }

    @Test(
        "SUB-22, SUB-23: a storage failure is internal for that space, never forbidden",
        arguments: TestBackend.available)
    func storageFailure(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let shared = try await harness.database.makeSharedSpace()
            await harness.storage.close()
            let result = try await client.subscribe(alice.space, shared)
            #expect(result.spaces.isEmpty)
            #expect(
                result.errors == [
                    .init(space: alice.space.wireText, error: .internal),
                    .init(space: shared.wireText, error: .internal),
                ])
            try await client.settle()
            #expect(try harness.watchedSpaces() == 0)
        }
    }

    @Test(
        "rpc §3.1: of a wrong id at most 256 bytes are echoed, and no half character", arguments: TestBackend.available)
    func longIDs(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let accents = String(repeating: "é", count: 200)
            for (id, echo) in [
                (String(repeating: "x", count: 256), String(repeating: "x", count: 256)),
                (String(repeating: "x", count: 257), String(repeating: "x", count: 256)),
                (accents, String(accents.prefix(128))), ("a" + accents, "a" + accents.prefix(127)),
            ] {
                let result: SubscribeResult = try await client.call(
                    .subscribe, SubscribeParams(spaces: [.init(id: id)]))
                #expect(result.errors == [.init(space: echo, error: .badRequest)])
            }
        }
    }

    @Test(
        "SUB-25: an id in upper case is accepted and echoed; broadcasts carry the canonical form",
        arguments: TestBackend.available)
    func upperCase(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let upperCase = alice.space.wireText.uppercased()
            let result: SubscribeResult = try await client.call(
                .subscribe, SubscribeParams(spaces: [.init(id: upperCase)]))
            #expect(result.spaces.map(\.id) == [upperCase])
            let pushed: PushResult = try await harness.connect(alice).call(
                .push, PushParams(space: upperCase, changes: [.fixture(1)]))
            #expect(pushed == .accepted(cursor: 1))
            #expect(try await client.notification().space == alice.space)
        }
    }

    @Test("the same space twice gives two entries and one subscription", arguments: TestBackend.available)
    func twice(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            #expect(try await client.subscribe(alice.space, alice.space).spaces.count == 2)
            _ = try await client.subscribe(alice.space)
            let pusher = harness.connect(alice)
            _ = try await pusher.push([.fixture(1)], to: alice.space)
            try await pusher.settle()
            #expect(client.connection.unreadFrames == 1)
        }
    }

    @Test("a failed entry does not cancel the subscription that exists", arguments: TestBackend.available)
    func failureKeepsSubscription(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = try await harness.subscriber(alice)
            let pusher = harness.connect(alice)
            _ = try await client.subscribe(.random())
            _ = try await pusher.push([.fixture(1)], to: alice.space)
            #expect(try await client.notification().cursor == 1)
            await harness.storage.close()
            #expect(try await client.subscribe(alice.space).errors.map(\.error) == [.internal])
            #expect(try harness.watchedSpaces() == 1)
        }
    }

    @Test(
        "SUB-26, wire §13 row 9: what the answer does not count arrives as a notification, whenever it was committed",
        arguments: TestBackend.available)
    func noGap(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let alice = self.alice
            let pusher = harness.connect(alice)
            _ = try await pusher.push([.fixture(1)], to: alice.space)
            // An answer may come before the notification, which a new subscriber would then hear.
            try await pusher.settle()
            let watcher = harness.connect(alice)
            harness.hooks.afterReadingSpaces {
                let pushed = try? await pusher.push([.fixture(2)], to: alice.space)
                #expect(pushed == .accepted(cursor: 2))
            }
            #expect(try await watcher.subscribe(alice.space).spaces.map(\.cursor) == [1])
            _ = try await pusher.push([.fixture(3)], to: alice.space)
            try await pusher.settle()
            // Whether the second comes before the answer or after it is not said.
            for cursor in 2...3 { #expect(try await watcher.notification().cursor == Int64(cursor)) }
            #expect(watcher.connection.unreadFrames == 0)
        }
    }

    @Test("UNS-1, PSH-20: after unsubscribe, in any spelling, nothing arrives", arguments: TestBackend.available)
    func unsubscribe(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let watcher = try await harness.subscriber(alice)
            watcher.notify(
                .unsubscribe,
                UnsubscribeParams(spaces: ["not-a-uuid", SpaceID.random().wireText, alice.space.wireText.uppercased()]))
            try await watcher.settle()
            let pusher = harness.connect(alice)
            _ = try await pusher.push([.fixture(1)], to: alice.space)
            try await pusher.settle()
            #expect(watcher.connection.unreadFrames == 0)
        }
    }
}
