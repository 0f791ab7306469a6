import NIOCore
import SyncAuth
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncCore

@Suite("Many clients at once", .timeLimit(.minutes(2)))
struct InterleavingTests {
    private let alice = Principal.fixture("alice")

    /// What one client did and saw.
    private struct Observation: Sendable {
        var subscribedAt: Int64
        /// Cursors of its own pushes.
        var pushed: Set<Int64> = []
        /// Cursors of the notifications, in the order of their arrival.
        var heard: [Int64] = []
    }

    private static let clients = 6
    private static let pushesEach = 40

    @Test(
        "wire §13 rows 6–9: every subscriber sees every cursor once, in order, without its own",
        arguments: TestBackend.available, [1, 2, 3] as [UInt64])
    func interleaving(on backend: TestBackend, seed: UInt64) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let alice = self.alice
            let observations = try await withThrowingTaskGroup(of: Observation.self) { group in
                for number in 0..<Self.clients {
                    group.addTask {
                        try await Self.act(as: number, SeededRandom(seed: seed &* 31 &+ UInt64(number)), alice, harness)
                    }
                }
                return try await group.reduce(into: [Observation]()) { $0.append($1) }
            }
            let all = Set(1...Int64(Self.clients * Self.pushesEach))
            #expect(observations.reduce(into: Set()) { $0.formUnion($1.pushed) } == all)
            for observation in observations {
                let expected = all.subtracting(observation.pushed).filter { $0 > observation.subscribedAt }
                #expect(observation.heard == expected.sorted())
            }
        }
    }

    /// One client: pushes, stale pushes, pulls and pauses in random order, then hears the rest.
    private static func act(
        as number: Int, _ seeded: SeededRandom, _ alice: Principal, _ harness: EngineHarness
    ) async throws -> Observation {
        var random = seeded
        // Others push while this task waits for its turn, on a slow machine more than a queue holds.
        let client = harness.connect(alice, readsAtOnce: true)
        let subscribed = try #require(try await client.subscribe(alice.space).spaces.first)
        var seen = Observation(subscribedAt: subscribed.cursor)
        while seen.pushed.count < Self.pushesEach {
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<6:
                let record = number * 10_000 + seen.pushed.count
                let result = try await client.push([.fixture(record)], to: alice.space)
                guard case .accepted(let cursor) = result else { throw UnexpectedFrame(description: "\(result)") }
                seen.pushed.insert(cursor)
            case 6:
                let stale = PushParams.Change.fixture(number * 10_000, at: 999_999)
                let result = try await client.push([stale], to: alice.space)
                #expect(result == .refused(.conflict))
            case 7:
                let since = Int64.random(in: 0..<50, using: &random)
                let answer = try await client.pull(alice.space, since: since)
                let begin: PullBegin = try answer.chunks[0].data.decode()
                #expect(begin.cursor >= seen.pushed.max() ?? 0)
                let cursors = try answer.chunks.filter { $0.name == "pull.record" }
                    .map { try $0.data.decode(as: RecordEntry.self).cursor }
                #expect(cursors == Array(min(since, begin.cursor)..<begin.cursor).map { $0 + 1 })
            default:
                for _ in 0..<Int.random(in: 0..<20, using: &random) { await Task.yield() }
            }
        }
        // What was committed between the registration and the reading of the cursor arrives although the answer counts it.
        func isNews(_ cursor: Int64) -> Bool { cursor > subscribed.cursor }
        seen.heard = client.earlierNotifications.map(\.cursor).filter(isNews)
        let expected = Int64(Self.clients * Self.pushesEach) - subscribed.cursor
        // Its own pushes all came after its subscription.
        while seen.heard.count < expected - Int64(seen.pushed.count) {
            guard case .notification("sync", let params) = try await client.next() else {
                throw UnexpectedFrame(description: "not a sync notification")
            }
            let cursor = try params.decode(as: SyncNotification.self).cursor
            if isNews(cursor) { seen.heard.append(cursor) }
        }
        return seen
    }

    @Test(
        "W-53, wire §12: a subscriber that stops reading is closed with 4006, never muted, and holds up nobody",
        arguments: TestBackend.available)
    func stalledSubscriber(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let stalled = try await harness.subscriber(alice)
            let reading = try await harness.subscriber(alice)
            let pusher = harness.connect(alice)
            for number in 1...100 {
                #expect(try await pusher.push([.fixture(number)], to: alice.space) == .accepted(cursor: Int64(number)))
                #expect(try await reading.notification().cursor == Int64(number))
            }
            #expect(await stalled.closeFrame() == .slowConsumer)
            await harness.waitUntilServed(stalled)
            #expect(try harness.openConnections() == 2)
            #expect(harness.logs.lines.contains { $0.hasPrefix("warning Subscriber reads too slowly") })
        }
    }

    @Test(
        "OX4: no token, blob, DEK or mailbox id appears in the log of a whole run at trace level",
        arguments: TestBackend.available)
    func logsHoldNoSecrets(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            var secretive = alice
            secretive.mailboxID = "mailbox-secret"
            let token = harness.tokens.issue(secretive, as: "token-secret")
            let client = harness.open()
            client.authenticate(token)
            _ = try await client.subscribe(alice.space)
            _ = try await client.push(
                [.fixture(1, "blob-secret", dek: ByteBuffer(string: "dek-secret"))], to: alice.space)
            _ = try await client.push([.fixture(1, "blob-secret")], to: .random())
            _ = try await client.pull(alice.space)
            let result: TokenRefreshResult = try await client.call(.tokenRefresh, TokenParams(token: "other-secret"))
            #expect(result.error != nil)
            let refused = harness.open()
            refused.authenticate("wrong-secret")
            _ = await refused.closeFrame()
            await harness.storage.close()
            _ = try await client.push([.fixture(2, "blob-secret")], to: alice.space)
            client.connection.send(ByteBuffer(string: "frame-secret"))
            _ = await client.closeFrame()
            await harness.waitUntilServed(client)
            #expect(harness.logs.lines.contains { $0.contains("RPC finished") && $0.contains("method=push") })
            #expect(!harness.logs.lines.contains { $0.contains("secret") })
        }
    }
}
