import Foundation
import NIOCore
import SyncAuth
import SyncClient
import SyncProtocol
import SyncServer
import SyncStorage
import SyncTesting
import SyncTransport
import Synchronization
import Testing

/// docs/contract/operations.md §6, in this process.
@Suite("Shutdown, end to end", .timeLimit(.minutes(1)))
struct ShutdownTests {
    @Test("OG1, W-59: a push in flight is answered, then comes 1001", arguments: TestBackend.available)
    func pushInFlight(on backend: TestBackend) async throws {
        let user = Principal.fixture()
        let space = try #require(user.personalSpace)
        try await TestDatabaseURL.with(backend) { database in
            var server = try InProcessServer(database)
            // The push waits for this test, however long a busy machine takes for it.
            server.parts.shutdownGrace = .seconds(50)
            try await server.run { server in
                let client = try await server.wire(as: user)
                client.request("first", .push, PushParams(space: space.wireText, changes: [.fixture(1)]))
                #expect(try await client.result(of: "first", as: PushResult.self) == .accepted(cursor: 1))
                try await database.withWritesBlocked(to: space) {
                    client.request("second", .push, PushParams(space: space.wireText, changes: [.fixture(2)]))
                    try await eventually("the push is in the storage") {
                        server.server.storage.statistics.pushesQueued == 1
                    }
                    await server.shutDown()
                    try await eventually("no new connection is taken") {
                        (try? await server.wire()) == nil
                    }
                }
                #expect(try await client.result(of: "second", as: PushResult.self) == .accepted(cursor: 2))
                #expect(await client.closeFrame() == .goingAway)
            }
            try await database.prepare { storage in
                let cursor = try await storage.storage.space(space).cursor
                #expect(cursor == 2)
            }
        }
    }

    @Test("OG2: a long pull that is read finishes, then comes 1001", arguments: TestBackend.available)
    func longPull(on backend: TestBackend) async throws {
        try await Self.withPull(on: backend) { server, client in
            await server.shutDown()
            var chunks: Int64 = 1
            while case .chunk(id: "pull", _, _) = try await client.next() { chunks += 1 }
            #expect(chunks == 42)
            #expect(await client.closeFrame() == .goingAway)
        }
    }

    @Test(
        "OG2: a pull that nobody reads is ended within the budget, without a commit", arguments: TestBackend.available)
    func stalledPull(on backend: TestBackend) async throws {
        try await Self.withPull(on: backend, grace: .milliseconds(200)) { server, client in
            await server.shutDown()
            try await eventually("the pull has given its connection back") {
                server.server.storage.statistics.pullsOpen == 0
            }
            var names: [String] = []
            while let frame = try? await client.next() {
                if case .chunk(id: "pull", let name, _) = frame { names.append(name) }
            }
            #expect(!names.contains(ChunkName.pullCommit.rawValue))
        }
    }

    @Test(
        "OG2, OG6: a client that takes nothing does not keep the server beyond the budget",
        arguments: TestBackend.available)
    func deafClient(on backend: TestBackend) async throws {
        try await Self.withPull(on: backend, grace: .milliseconds(200)) { server, _ in
            await server.shutDown()
            try await eventually("the database is closed") {
                do { try await server.server.storage.ping() } catch { return true }
                return false
            }
        }
    }

    @Test(
        "operations §6: PostgreSQL that says nothing any more does not keep the server beyond the budgets of the steps",
        .enabled(if: TestBackend.available.contains(.postgres), "the PostgreSQL programs are not installed"),
        arguments: [false, true])
    func silentDatabase(withPush: Bool) async throws {
        try await TestDatabaseURL.with(.postgres) { database in
            let target = try #require(URLComponents(string: database.url)?.port)
            let proxy = StallingProxy()
            try await proxy.run(target: target) { port in
                let url = database.url.replacing(":\(target)/", with: ":\(port)/")
                var server = try InProcessServer(TestDatabaseURL(backend: .postgres, url: url))
                server.parts.shutdownGrace = .seconds(1)
                server.parts.closeWait = .seconds(1)
                let user = Principal.fixture()
                let space = try #require(user.personalSpace)
                let clock = ContinuousClock()
                let began = Mutex<ContinuousClock.Instant?>(nil)
                try await server.run { server in
                    let client = try await server.wire(as: user)
                    client.request("first", .push, PushParams(space: space.wireText, changes: [.fixture(1)]))
                    #expect(try await client.result(of: "first", as: PushResult.self) == .accepted(cursor: 1))
                    proxy.stall()
                    if withPush {
                        client.request("second", .push, PushParams(space: space.wireText, changes: [.fixture(2)]))
                        try await eventually("the push is in the storage") {
                            server.server.storage.statistics.pushesQueued == 1
                        }
                    }
                    began.withLock { $0 = clock.now }
                    await server.shutDown()
                }
                let duration = try #require(began.withLock { $0 }).duration(to: clock.now)
                // Clients 1 + 1 + 2 s, jobs 2 s, storage 5 s; the calls themselves would wait for 27 s and more.
                #expect(duration < .seconds(25))
            }
        }
    }

    /// Runs `body` while a pull of 40 MB is under way, of which the first chunk has been read.
    private static func withPull(
        on backend: TestBackend, grace: Duration = .seconds(10),
        _ body: (InProcessServer.Running, WireClient) async throws -> Void
    ) async throws {
        try await backend.withServer {
            $0.parts.shutdownGrace = grace
            $0.parts.closeWait = .seconds(1)
            $0.parts.http.webSocket.writeStallMax = .hours(1)
        } _: { server in
            let user = Principal.fixture()
            let space = try #require(user.personalSpace).wireText
            try await server.withClient(user) { device in
                for number in 1...40 {
                    _ = try await device.push(PushParams(space: space, changes: [.large(number, bytes: 1 << 20)]))
                }
            }
            let client = try await server.wire(as: user)
            client.request("pull", .pull, PullParams(spaces: [.init(id: space, since: 0)]))
            _ = try await client.next()
            try await body(server, client)
        }
    }
}
