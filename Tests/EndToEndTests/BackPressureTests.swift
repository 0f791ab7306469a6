import NIOCore
import SyncAuth
import SyncClient
import SyncCore
import SyncProtocol
import SyncServer
import SyncStorage
import SyncTesting
import SyncTransport
import Testing

/// Clients that do not read, or read a lot, and those beside them.
@Suite("Back-pressure, end to end", .timeLimit(.minutes(1)))
struct BackPressureTests {
    @Test("A subscriber that stops reading is closed with 4006 and misses nothing before it")
    func stalledSubscriber() async throws {
        try await TestBackend.sqlite.withServer { server in
            let user = Principal.fixture()
            let space = try #require(user.personalSpace).wireText
            let subscriber = try await server.wire(as: user)
            subscriber.request("sub", .subscribe, SubscribeParams(spaces: [.init(id: space)]))
            _ = try await subscriber.result(of: "sub", as: SubscribeResult.self)

            // More than all the buffers between the two can hold.
            let pushes = 40
            try await server.withClient(user) { pusher in
                for number in 1...pushes {
                    let push = PushParams(space: space, changes: [.large(number, bytes: 1 << 20)])
                    let result = try await pusher.push(push)
                    #expect(result == .accepted(cursor: Int64(number)))
                }
            }

            var cursors: [Int64] = []
            var close: CloseFrame?
            do {
                while true {
                    guard case .notification("sync", let params) = try await subscriber.next() else { continue }
                    cursors.append((try params.decode() as SyncNotification).cursor)
                }
            } catch let end as WireClient.Ended {
                close = end.close
            }
            #expect(close == .slowConsumer)
            #expect(cursors == cursors.indices.map { Int64($0 + 1) })
            #expect(cursors.count < pushes)
        }
    }

    @Test("100 stalled pulls of one user leave another user's push unhurt", arguments: TestBackend.available)
    func stalledPulls(on backend: TestBackend) async throws {
        try await backend.withServer {
            $0.parts.engine.connectionsPerMailboxMax = 200
        } _: { server in
            let (greedy, other) = (Principal.fixture("greedy"), Principal.fixture("other"))
            let space = try #require(greedy.personalSpace).wireText
            try await Self.fill(space, of: greedy, records: 24, server)
            var stalled: [WireClient] = []
            for _ in 0..<100 {
                let client = try await server.wire(as: greedy)
                client.request("pull", .pull, PullParams(spaces: [.init(id: space, since: 0)]))
                stalled.append(client)
            }
            try await eventually("pulls wait for a connection") {
                let statistics = server.server.storage.statistics
                return statistics.pullsOpen + statistics.pullsWaiting == 100
            }

            let otherSpace = try #require(other.personalSpace).wireText
            try await server.withClient(other) { client in
                for number in 1...20 {
                    let start = ContinuousClock.now
                    let push = PushParams(space: otherSpace, changes: [.fixture(number)])
                    let result = try await client.push(push)
                    #expect(result == .accepted(cursor: Int64(number)))
                    // A stalled pull ends after 30 s: whoever waited for one would take longer.
                    #expect(ContinuousClock.now - start < .seconds(25))
                }
            }
            #expect(server.server.storage.statistics.pullsWaiting > 0)
            for client in stalled { client.connection.closeDiscardingQueue(CloseFrame(code: 1000, reason: "")) }
        }
    }

    @Test("W-61: a small request behind a pull of 40 MB on the same socket is answered at once")
    func requestBesidePull() async throws {
        try await TestBackend.sqlite.withServer { server in
            let user = Principal.fixture()
            let space = try #require(user.personalSpace).wireText
            try await Self.fill(space, of: user, records: 40, server)
            let client = try await server.wire(as: user)
            client.request("pull", .pull, PullParams(spaces: [.init(id: space, since: 0)]))
            // The pull is under way.
            _ = try await client.next()
            client.request("push", .push, PushParams(space: space, changes: [.fixture(1_000)]))
            var bytesBefore = 0
            var chunks = 1
            var answered = false
            while true {
                let bytes = try await client.nextBytes()
                switch try FrameDecoder.decodeServerFrame(bytes) {
                case .chunk(id: "pull", _, _):
                    chunks += 1
                    if !answered { bytesBefore += bytes.readableBytes }
                case .response(id: "push", let result):
                    #expect(try result.decode() as PushResult == .accepted(cursor: 41))
                    answered = true
                case .response(id: "pull", let result):
                    #expect((try result.decode() as ChunkCount).chunks == Int64(chunks))
                    #expect(chunks == 42)
                    #expect(answered)
                    // What is queued and what the kernel holds comes first, the rest of the pull does not.
                    #expect(bytesBefore < 20 << 20)
                    await client.close()
                    return
                case let frame: Issue.record("\(frame)")
                }
            }
        }
    }

    private static func fill(
        _ space: String, of user: Principal, records: Int, _ server: InProcessServer.Running
    ) async throws {
        try await server.withClient(user) { client in
            for number in 1...records {
                let push = PushParams(space: space, changes: [.large(number, bytes: 1 << 20)])
                let result = try await client.push(push)
                #expect(result == .accepted(cursor: Int64(number)))
            }
        }
    }
}

extension PushParams.Change {
    /// A new record of so many bytes.
    static func large(_ number: Int, bytes: Int) -> PushParams.Change {
        PushParams.Change(
            id: RecordID.fixtureText(number),
            blob: ByteBuffer(repeating: UInt8(truncatingIfNeeded: number), count: bytes),
            expectedCursor: 0, dek: nil)
    }
}
