import NIOCore
import SyncProtocol
import SyncTesting
import Testing

@testable import SyncClient

@Suite("Client events", .timeLimit(.minutes(5)))
struct EventTests {
    private func cursor(_ event: SyncEvent?) -> Int64? {
        if case .sync(let notification) = event { notification.cursor } else { nil }
    }

    /// A round trip: everything that was sent before has been read.
    private func settle(_ server: FakeServer, _ client: SyncClient) async throws {
        let pushed = Task { try await client.push(.fixture) }
        server.answer(try await server.nextRequest().id, PushResult.accepted(cursor: 1))
        _ = try await pushed.value
    }

    @Test("rpc §14.1: notifications come in the server's order, to one that waits and from the queue")
    func order() async throws {
        try await FakeServer.withClient { server, client in
            let first = Task { await client.nextEvent() }
            for cursor in 1...3 { server.announce(Int64(cursor)) }
            #expect(self.cursor(await first.value) == 1)
            #expect(self.cursor(await client.nextEvent()) == 2)
            #expect(self.cursor(await client.nextEvent()) == 3)
        }
    }

    @Test("a full queue turns into one `missed`, and what comes later follows it")
    func overflow() async throws {
        var configuration = SyncClient.Configuration()
        configuration.eventsMax = 2
        try await FakeServer.withClient(configuration) { server, client in
            for cursor in 1...4 { server.announce(Int64(cursor)) }
            try await self.settle(server, client)
            #expect(await client.nextEvent() == .missed)
            #expect(self.cursor(await client.nextEvent()) == 4)
            server.announce(5)
            #expect(self.cursor(await client.nextEvent()) == 5)
        }
    }

    @Test("the queue is bounded in bytes as well")
    func overflowInBytes() async throws {
        var configuration = SyncClient.Configuration()
        configuration.eventBytesMax = 10_000
        try await FakeServer.withClient(configuration) { server, client in
            server.announce(1, blobBytes: 6_000)
            server.announce(2, blobBytes: 6_000)
            try await self.settle(server, client)
            #expect(await client.nextEvent() == .missed)
            server.announce(3, blobBytes: 6_000)
            #expect(self.cursor(await client.nextEvent()) == 3)
        }
    }

    @Test("a `sync` that cannot be read counts as missed, another method is handed over as it is")
    func otherNotifications() async throws {
        try await FakeServer.withClient { server, client in
            server.connection.send(
                FrameEncoder.notification(method: .sync, params: UnsubscribeParams(spaces: [])))
            server.connection.send(
                FrameEncoder.notification(method: .unsubscribe, params: UnsubscribeParams(spaces: ["a"])))
            #expect(await client.nextEvent() == .missed)
            guard case .other("unsubscribe", let params) = await client.nextEvent() else {
                Issue.record("expected the notification")
                return
            }
            let decoded = try params.decode(as: UnsubscribeParams.self)
            #expect(decoded.spaces == ["a"])
        }
    }

    @Test("cancelling the wait for an event ends it and loses nothing")
    func cancelledWait() async throws {
        try await FakeServer.withClient { server, client in
            let wait = Task { await client.nextEvent() }
            wait.cancel()
            #expect(await wait.value == nil)
            server.announce(1)
            #expect(self.cursor(await client.nextEvent()) == 1)
        }
    }

    @Test("the end of the connection ends the events after those that have come")
    func end() async throws {
        try await FakeServer.withClient { server, client in
            server.announce(1)
            try await self.settle(server, client)
            server.connection.sendClose()
            #expect(self.cursor(await client.nextEvent()) == 1)
            #expect(await client.nextEvent() == nil)
        }
    }

    @Test("rpc §14: each notification has its event; one that cannot be read counts as missed")
    func kinds() async throws {
        let peer = "82914299e281046322b00d59409da960"
        let entry = MembershipEntry(
            chainSequence: 1, previousHash: nil, entryHash: ByteBuffer(repeating: 1, count: 32),
            payload: ByteBuffer(bytes: [1]))
        let membership = MembershipNotification(space: .fixture, cursor: 1, entries: [entry])
        let revoked = RevokedNotification(space: .fixture)
        let presence = PresenceNotification(space: .fixture, peer: peer, data: ByteBuffer(bytes: [1]))
        let leave = PresenceLeaveNotification(space: .fixture, peer: peer)
        let resubscribe = ResubscribeNotification(spaces: [SpaceID.fixture.wireText])
        try await FakeServer.withClient { server, client in
            func expect(_ method: Method, _ params: some WireEncodable, _ event: SyncEvent) async {
                server.connection.send(FrameEncoder.notification(method: method, params: params))
                #expect(await client.nextEvent() == event)
            }
            await expect(.membership, membership, .membership(membership))
            await expect(.revoked, revoked, .revoked(revoked))
            await expect(.invitation, EmptyMap(), .invitation)
            await expect(.presence, presence, .presence(presence))
            await expect(.presenceLeave, leave, .presenceLeave(leave))
            await expect(.event, presence, .event(presence))
            await expect(.resubscribe, resubscribe, .resubscribe(resubscribe))
            for method in [Method.membership, .revoked, .presence, .presenceLeave, .event, .resubscribe] {
                await expect(method, EmptyMap(), .missed)
            }
        }
    }
}
