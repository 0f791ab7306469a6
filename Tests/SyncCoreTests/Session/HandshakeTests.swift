import MetricsTestKit
import NIOCore
import SyncAuth
import SyncProtocol
import SyncTesting
import Synchronization
import Testing

@testable import SyncCore

@Suite("Handshake", .timeLimit(.minutes(5)))
struct HandshakeTests {
    @Test("W-12: silence for the auth timeout closes with 4000 auth timeout")
    func timeout() async throws {
        try await EngineHarness.run { harness in
            await harness.startJobs()
            let client = harness.open()
            await harness.clock.waitForSleeper(of: .seconds(5))
            harness.clock.advance(by: .seconds(5))
            #expect(await client.closeFrame() == .authFailed("auth timeout"))
            await harness.waitUntilServed(client)
        }
    }

    @Test(
        "W-13, W-14, W-17, W-18: a failed handshake closes with 4000",
        arguments: [
            (ByteBuffer?.none, "expected binary auth frame"),
            (
                FrameEncoder.request(id: "1", method: .subscribe, params: SubscribeParams(spaces: [])),
                "invalid auth frame"
            ),
            (FrameEncoder.auth(token: ""), "empty auth token"),
            (FrameEncoder.auth(token: "unknown"), "invalid auth token"),
            (FrameEncoder.auth(token: "refused-expired"), "expired auth token"),
            (FrameEncoder.auth(token: "refused-untrustedIssuer"), "untrusted auth issuer"),
            (FrameEncoder.auth(token: "files"), "sync scope required"),
        ])
    func refused(message: ByteBuffer?, reason: String) async throws {
        try await EngineHarness.run { harness in
            harness.tokens.issue(refusedAs: .expired)
            harness.tokens.issue(refusedAs: .untrustedIssuer)
            harness.tokens.issue(.fixture(scopes: ["files"]), as: "files")
            let wasAuthenticated = Mutex(false)
            let client = harness.open { wasAuthenticated.withLock { $0 = true } }
            if let message { client.connection.send(message) } else { client.connection.sendText() }
            #expect(await client.closeFrame() == .authFailed(reason))
            #expect(!wasAuthenticated.withLock { $0 })
            await harness.waitUntilServed(client)
            // A token that there is, is counted where it is looked at.
            let hasToken = (try? message.map { try FrameDecoder.decodeAuthToken($0) }) ?? nil
            let counter = try? harness.metrics.expectCounter("auth_failures_total", [("reason", "missing")])
            #expect(counter?.totalValue == (hasToken == nil ? 1 : nil))
        }
    }

    @Test("W-15: a valid token opens the connection and nothing is sent")
    func open() async throws {
        try await EngineHarness.run { harness in
            let authenticated = Mutex(0)
            let client = harness.open { authenticated.withLock { $0 += 1 } }
            client.authenticate(harness.tokens.issue(.fixture()))
            try await eventually { (try? harness.openConnections()) == 1 }
            #expect(client.connection.framesRead == 0)
            #expect(client.connection.unreadFrames == 0)
            #expect(authenticated.withLock { $0 } == 1)
        }
    }

    @Test("W-19: a request sent right behind the auth frame is answered once")
    func pipelined() async throws {
        try await EngineHarness.run { harness in
            let client = harness.connect()
            let result = try await client.subscribe(Principal.fixture().space)
            #expect(result.spaces.count == 1)
            try await client.settle()
            #expect(client.connection.framesRead == 2)
        }
    }

    @Test("W-20, W-21, C17: the connection over the mailbox limit closes with 4003; a freed place can be taken")
    func mailboxLimit() async throws {
        try await EngineHarness.run {
            $0.connectionsPerMailboxMax = 1
        } _: { harness in
            let first = harness.connect()
            try await first.settle()
            let second = harness.connect()
            #expect(await second.closeFrame() == .tooManyConnections)
            try await first.settle()
            first.connection.sendClose()
            await harness.waitUntilServed(first)
            try await harness.connect().settle()
        }
    }

    @Test("C6: the default limit is 16 connections; users of one app without mailbox ids do not share it")
    func defaultLimit() async throws {
        try await EngineHarness.run { harness in
            var (alice, bob) = (Principal.fixture("alice"), Principal.fixture("bob"))
            alice.mailboxID = ""
            bob.mailboxID = ""
            for _ in 1...16 { try await harness.connect(alice).settle() }
            #expect(await harness.connect(alice).closeFrame() == .tooManyConnections)
            try await harness.connect(bob).settle()
        }
    }

    @Test("W-55: without a limit any number registers")
    func noLimit() async throws {
        try await EngineHarness.run {
            $0.connectionsPerMailboxMax = nil
        } _: { harness in
            for _ in 1...40 { try await harness.connect().settle() }
        }
    }

    @Test("a client that closes before auth ends its session")
    func closesEarly() async throws {
        try await EngineHarness.run { harness in
            let client = harness.open()
            client.connection.sendClose()
            #expect(await client.closeFrame() == .authFailed("connection closed before auth"))
            await harness.waitUntilServed(client)
        }
    }
}
