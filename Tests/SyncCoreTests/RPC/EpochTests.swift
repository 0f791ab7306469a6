import MetricsTestKit
import NIOCore
import SyncAuth
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncCore

@Suite("epoch", .timeLimit(.minutes(5)))
struct EpochTests {
    private let alice = Principal.fixture("alice")

    @Test(
        "EPB-1, EPB-8, EPC-1: an epoch is begun, shown by subscribe and pull, and completed",
        arguments: TestBackend.available)
    func beginAndComplete(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            #expect(try await client.beginEpoch(2, in: alice.space) == .begun(epoch: 2))
            var subscribed = try #require(try await client.subscribe(alice.space).spaces.first)
            #expect(subscribed.keyGeneration == 2 && subscribed.rewrapEpoch == 2 && subscribed.cursor == 0)
            var begin = try await client.pull(alice.space).chunks[0].data.decode(as: PullBegin.self)
            #expect(begin.keyGeneration == 2 && begin.rewrapEpoch == 2)

            try await client.completeEpoch(2, in: alice.space)
            subscribed = try #require(try await client.subscribe(alice.space).spaces.first)
            #expect(subscribed.keyGeneration == 2 && subscribed.rewrapEpoch == nil)
            begin = try await client.pull(alice.space).chunks[0].data.decode(as: PullBegin.self)
            #expect(begin.keyGeneration == 2 && begin.rewrapEpoch == nil)
            #expect(try await client.beginEpoch(3, in: alice.space) == .begun(epoch: 3))
        }
    }

    @Test(
        "EPB-2, EPB-3, C1: an epoch that cannot be begun is a result in the words of the family",
        arguments: ProtocolFamily.allCases, TestBackend.available)
    func conflict(family: ProtocolFamily, on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice, family: family)
            let word = family == .less ? "conflict" : "epoch_conflict"
            let skipped = EpochConflict(error: word, currentEpoch: 1, rewrapEpoch: nil)
            #expect(try await client.beginEpoch(3, in: alice.space) == .conflict(skipped))
            #expect(try await client.beginEpoch(2, in: alice.space) == .begun(epoch: 2))
            let pending = EpochConflict(error: word, currentEpoch: 2, rewrapEpoch: 2)
            #expect(try await client.beginEpoch(2, in: alice.space) == .conflict(pending))
            #expect(try await client.beginEpoch(3, in: alice.space) == .conflict(pending))
            // Requests are counted after their answer.
            try await client.settle()
            let refused = try harness.metrics.expectCounter(
                "rpc_requests_total", [("method", "epoch.begin"), ("outcome", "conflict")])
            #expect(refused.totalValue == 3)
        }
    }

    @Test(
        "EPB-6: epochs that are not the next one conflict", arguments: [1, 0, -1, Int32.min, Int32.max],
        TestBackend.available)
    func notNext(epoch: Int32, on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let conflict = EpochConflict(error: "conflict", currentEpoch: 1, rewrapEpoch: nil)
            let result = try await client.beginEpoch(epoch, in: alice.space, setsMinimum: true)
            #expect(result == .conflict(conflict))
            #expect(try await harness.storage.space(alice.space).minKeyGeneration == 1)
        }
    }

    @Test("EPB-4, EPC-3: params that are no map, then space ids that are none", arguments: TestBackend.available)
    func invalid(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            for (method, name) in [(Method.epochBegin, "begin"), (.epochComplete, "complete")] {
                await #expect(throws: ErrorBody(code: .invalidParams, message: "invalid epoch \(name) params")) {
                    try await client.call(method, hex: "63666f6f")
                }
                for space in ["", "nope", "{\(alice.space.wireText)}"] {
                    await #expect(throws: ErrorBody(code: .badRequest, message: "invalid space id")) {
                        let params = EpochCompleteParams(space: space, epoch: 2)
                        _ = try await client.answer(to: client.request(method, params))
                    }
                }
            }
        }
    }

    @Test(
        "EPB-5: epochs are for who may write; set_min_key_generation keeps older keys out from then on",
        arguments: TestBackend.available)
    func shared(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let space = try await SharedSpace.create(harness)
            let (alice, bob) = (SharedSpace.principal("alice"), SharedSpace.principal("bob"))
            let (writer, reader) = (harness.connect(alice), harness.connect(bob))
            let (writing, reading) = (space.chain("alice"), space.chain("bob", permission: .read))
            let forbidden = ErrorBody(code: .forbidden, message: "forbidden")
            for ucan in [reading, "", writing] {
                await #expect(throws: forbidden) { try await reader.beginEpoch(2, in: space.id, ucan: ucan) }
                await #expect(throws: forbidden) { try await reader.completeEpoch(2, in: space.id, ucan: ucan) }
            }
            await #expect(throws: forbidden) { try await writer.beginEpoch(2, in: .random(), ucan: writing) }
            #expect(
                try await writer.beginEpoch(2, in: space.id, ucan: writing, setsMinimum: true) == .begun(epoch: 2))
            #expect(
                try await writer.push([.fixture(1, dek: .wrappedDEK(epoch: 1))], to: space.id, ucan: writing)
                    == .refused(.keyGenerationStale))
            #expect(
                try await writer.push([.fixture(1, dek: .wrappedDEK(epoch: 2))], to: space.id, ucan: writing)
                    == .accepted(cursor: 1))
        }
    }

    @Test("EPB-7: of those who begin one epoch at a time one succeeds", arguments: TestBackend.available)
    func race(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let clients = (0..<4).map { _ in harness.connect(alice) }
            let results = try await withThrowingTaskGroup(of: EpochBeginResult.self) { group in
                for client in clients { group.addTask { try await client.beginEpoch(2, in: alice.space) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(results.count { $0 == .begun(epoch: 2) } == 1)
            let conflict = EpochConflict(error: "conflict", currentEpoch: 2, rewrapEpoch: 2)
            #expect(results.count { $0 == .conflict(conflict) } == 3)
        }
    }

    @Test("EPC-2: what is not in progress cannot be completed", arguments: TestBackend.available)
    func nothingToComplete(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let mismatch = ErrorBody(code: .conflict, message: "epoch mismatch")
            await #expect(throws: mismatch) { try await client.completeEpoch(1, in: alice.space) }
            _ = try await client.beginEpoch(2, in: alice.space)
            await #expect(throws: mismatch) { try await client.completeEpoch(3, in: alice.space) }
            try await client.completeEpoch(2, in: alice.space)
            await #expect(throws: mismatch) { try await client.completeEpoch(2, in: alice.space) }
        }
    }

    @Test(
        "rpc §10: nobody hears of an epoch, and the cursor stays; the personal space is made on first contact",
        arguments: TestBackend.available)
    func silent(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let watcher = try await harness.subscriber(alice)
            let client = harness.connect(alice)
            _ = try await client.beginEpoch(2, in: alice.space)
            try await client.completeEpoch(2, in: alice.space)
            #expect(try await watcher.takeNotifications().isEmpty)
            #expect(try await harness.storage.space(alice.space).cursor == 0)
            let bob = Principal.fixture("bob")
            await #expect(throws: ErrorBody(code: .conflict, message: "epoch mismatch")) {
                try await harness.connect(bob).completeEpoch(2, in: bob.space)
            }
            #expect(try await harness.storage.space(bob.space).clientID == bob.clientID)
        }
    }

    @Test("rpc §10: a storage that fails is internal", arguments: TestBackend.available)
    func storageFails(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            try await client.settle()
            await harness.storage.close()
            let error = ErrorBody(code: .internal, message: "internal")
            await #expect(throws: error) { try await client.beginEpoch(2, in: alice.space) }
            await #expect(throws: error) { try await client.completeEpoch(2, in: alice.space) }
        }
    }
}
