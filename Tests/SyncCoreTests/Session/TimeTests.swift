import Logging
import NIOCore
import SyncAuth
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncCore

@Suite("Lifetime, token expiry and shutdown", .timeLimit(.minutes(5)))
struct TimeTests {
    private let alice = Principal.fixture("alice")

    @Test(
        "W-58: at the end of its lifetime a connection closes with 4001", arguments: [0.9, 1, 1.1],
        TestBackend.available)
    func lifetime(factor: Double, on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend, lifetimeFactors: [factor]) { harness in
            await harness.startJobs()
            let client = try await harness.open(alice)
            await harness.clock.waitForSleeper(of: .seconds(3_600) * factor - .seconds(5))
            harness.clock.advance(by: .seconds(3_600) * factor - .seconds(6))
            try await client.settle()
            harness.clock.advance(by: .seconds(1))
            #expect(await client.closeFrame() == CloseFrame(code: 4001, reason: "connection timeout"))
            await harness.waitUntilServed(client)
        }
    }

    @Test(
        "W-58: one timer serves all connections, also those that are due before the ones that opened earlier",
        arguments: TestBackend.available)
    func lifetimes(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend, lifetimeFactors: [1.125, 0.875]) { harness in
            await harness.startJobs()
            let last = try await harness.open(alice)
            await harness.clock.waitForSleeper(of: .seconds(4_045))
            let first = try await harness.open(alice)
            await harness.clock.waitForSleeper(of: .seconds(3_145))
            let second = try await harness.open(alice)
            await harness.clock.waitForSleeper(of: .seconds(3_140))
            harness.clock.advance(by: .seconds(3_140))
            #expect(await first.closeFrame() == .lifetimeReached)
            await harness.clock.waitForSleeper(of: .seconds(455))
            harness.clock.advance(by: .seconds(455))
            #expect(await second.closeFrame() == .lifetimeReached)
            try await last.settle()
            await harness.clock.waitForSleeper(of: .seconds(440))
            harness.clock.advance(by: .seconds(440))
            #expect(await last.closeFrame() == .lifetimeReached)
        }
    }

    @Test("W-58: the default lifetime is drawn between 0.9 and 1.1 hours")
    func lifetimeRange() async throws {
        try await TestBackend.sqlite.withStorage { database in
            let clock = TestClock()
            let tokens = StaticTokens()
            let engine = SyncEngine(
                configuration: EngineConfiguration(), storage: database.storage, tokens: tokens, clock: clock,
                logger: .init(label: "test"))
            let jobs = Task { await engine.run() }
            let connection = MemoryConnection()
            let client = TestClient(connection)
            async let served: Void = engine.serve(connection, family: .betterbase)
            await clock.waitForSleeper(of: .seconds(5))
            client.authenticate(tokens.issue(.fixture()))
            try await client.settle()
            clock.advance(by: .seconds(5))
            await clock.waitForSleeper(ofAtLeast: .seconds(3_235))
            clock.advance(by: .seconds(3_234))
            #expect(!connection.isClosing)
            clock.advance(by: .seconds(722))
            #expect(await connection.next() == .close(.lifetimeReached))
            await served
            jobs.cancel()
            await jobs.value
        }
    }

    @Test("wire §14: without enforcement the end of a token closes nothing", arguments: TestBackend.available)
    func expiryNotEnforced(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            await harness.startJobs()
            var expiring = alice
            expiring.expiresAt = 1_700_000_010
            let client = harness.connect(expiring)
            try await client.settle()
            harness.wallClock.advance(by: 3_000)
            harness.clock.advance(by: .seconds(3_000))
            try await client.settle()
        }
    }

    @Test(
        "W-65, C30: with enforcement a connection closes with 4001 a minute after its token's end",
        arguments: TestBackend.available)
    func expiry(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) {
            $0.enforcesTokenExpiry = true
        } _: { harness in
            var expiring = alice
            expiring.expiresAt = 1_700_000_030
            await harness.startJobs()
            let client = harness.connect(expiring)
            try await client.settle()
            await harness.clock.waitForSleeper(of: .seconds(60))
            harness.wallClock.advance(by: 60)
            harness.clock.advance(by: .seconds(60))
            await harness.clock.waitForSleeper(of: .seconds(30))
            try await client.settle()
            harness.wallClock.advance(by: 30)
            harness.clock.advance(by: .seconds(30))
            #expect(await client.closeFrame() == CloseFrame(code: 4001, reason: "token expired"))
        }
    }

    @Test(
        "W-65, C30: a refresh in time keeps the connection; a token without end never expires",
        arguments: TestBackend.available)
    func expiryRefreshed(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) {
            $0.enforcesTokenExpiry = true
        } _: { harness in
            var expiring = alice
            expiring.expiresAt = 1_700_000_000
            await harness.startJobs()
            let client = harness.connect(expiring)
            await harness.clock.waitForSleeper(of: .seconds(60))
            let token = harness.tokens.issue(alice)
            let result: TokenRefreshResult = try await client.call(.tokenRefresh, TokenParams(token: token))
            #expect(result.error == nil)
            for _ in 1...3 {
                harness.wallClock.advance(by: 60)
                harness.clock.advance(by: .seconds(60))
                await harness.clock.waitForSleeper(of: .seconds(60))
            }
            try await client.settle()
        }
    }

    @Test("OG4: without connections a shutdown returns at once", arguments: TestBackend.available)
    func shutdownIdle(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            await harness.engine.shutDown(grace: .seconds(10), closeWait: .seconds(5))
        }
    }

    @Test(
        "W-59: a shutdown closes idle connections, authenticated or not, with 1001, and refuses later ones",
        arguments: TestBackend.available)
    func shutdown(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let idle = try await harness.subscriber(alice)
            let silent = harness.open()
            try await eventually { harness.engine.registry.sessions.count == 2 }
            await harness.engine.shutDown(grace: .seconds(10), closeWait: .seconds(5))
            #expect(await idle.closeFrame() == CloseFrame(code: 1001, reason: "server shutting down"))
            #expect(await silent.closeFrame() == .goingAway)
            let late = harness.open()
            #expect(await late.closeFrame() == .goingAway)
            await harness.waitUntilServed(late)
        }
    }

    @Test(
        "OG1: a push in progress is answered, what comes behind it is not read, then 1001",
        arguments: TestBackend.available)
    func shutdownDuringPush(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            _ = try await client.push([.fixture(1)], to: alice.space)
            var push = ""
            var shutdown: Task<Void, Never>?
            try await harness.database.withWritesBlocked(to: alice.space) {
                push = client.request(.push, PushParams(space: alice.space.wireText, changes: [.fixture(2)]))
                try await harness.database.waitUntil { $0.pushesQueued == 1 }
                shutdown = Task { await harness.engine.shutDown(grace: .seconds(10), closeWait: .seconds(5)) }
                await harness.clock.waitForSleeper(of: .seconds(10))
                client.request(.push, PushParams(space: alice.space.wireText, changes: [.fixture(3)]))
            }
            #expect(try await client.answer(to: push).result.decode(as: PushResult.self) == .accepted(cursor: 2))
            await #expect(throws: TestClient.Closed(frame: .goingAway)) { try await client.next() }
            await shutdown?.value
            #expect(try await harness.storage.space(alice.space).cursor == 2)
        }
    }

    @Test(
        "OG2: a pull that nobody reads is ended after the grace, without a false commit",
        arguments: TestBackend.available)
    func shutdownDuringPull(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            _ = try await client.push((1...1_000).map { .fixture($0) }, to: alice.space)
            client.request(.pull, PullParams(spaces: [.init(id: alice.space.wireText, since: 0)]))
            try await harness.database.waitUntil { $0.pullsOpen == 1 }
            async let shutdown: Void = harness.engine.shutDown(grace: .seconds(10), closeWait: .seconds(5))
            await harness.clock.waitForSleeper(of: .seconds(10))
            #expect(!client.connection.isClosing)
            harness.clock.advance(by: .seconds(10))
            await shutdown
            try await harness.database.waitUntil { $0.pullsOpen == 0 }
            var isOver = false
            while !isOver {
                do {
                    if case .chunk(_, let name, _) = try await client.next() { #expect(name != "pull.commit") }
                } catch let closed as TestClient.Closed {
                    #expect(closed.frame == .goingAway)
                    isOver = true
                }
            }
        }
    }

    @Test("OG2: a pull that is read finishes within the grace, then 1001", arguments: TestBackend.available)
    func shutdownLetsPullFinish(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            _ = try await client.push((1...1_000).map { .fixture($0) }, to: alice.space)
            let pulls = (1...2).map { _ in
                client.request(.pull, PullParams(spaces: [.init(id: alice.space.wireText, since: 0)]))
            }
            try await eventually { client.connection.unreceivedMessages == 0 }
            try await harness.database.waitUntil { $0.pullsOpen == 1 }
            async let shutdown: Void = harness.engine.shutDown(grace: .seconds(10), closeWait: .seconds(5))
            await harness.clock.waitForSleeper(of: .seconds(10))
            for pull in pulls { #expect(try await client.answer(to: pull).chunks.count == 1_002) }
            await #expect(throws: TestClient.Closed(frame: .goingAway)) { try await client.next() }
            await shutdown
        }
    }

    @Test(
        "operations §6: a connection whose peer does not answer the close is reset after the bounded wait",
        arguments: TestBackend.available)
    func shutdownBounded(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice, lingersAfterClose: true)
            try await client.settle()
            async let shutdown: Void = harness.engine.shutDown(grace: .seconds(10), closeWait: .seconds(5))
            await harness.clock.waitForSleeper(of: .seconds(10))
            harness.clock.advance(by: .seconds(10))
            await harness.clock.waitForSleeper(of: .seconds(5))
            harness.clock.advance(by: .seconds(5))
            await shutdown
            #expect(harness.logs.lines.contains { $0.hasPrefix("warning Connections cut") })
            await harness.waitUntilServed(client)
        }
    }

    @Test("a session whose task is cancelled closes its connection")
    func cancelled() async throws {
        try await TestBackend.sqlite.withStorage { database in
            let tokens = StaticTokens()
            let engine = SyncEngine(
                configuration: EngineConfiguration(), storage: database.storage, tokens: tokens, clock: TestClock(),
                logger: .init(label: "test"))
            for isAuthenticated in [false, true] {
                let connection = MemoryConnection()
                if isAuthenticated { connection.send(FrameEncoder.auth(token: tokens.issue(.fixture()))) }
                let session = Task { await engine.serve(connection, family: .less) }
                try await eventually { connection.unreceivedMessages == 0 }
                session.cancel()
                #expect(await connection.next() == .close(.goingAway))
                await session.value
            }
        }
    }
}
