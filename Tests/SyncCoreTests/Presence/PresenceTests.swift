import MetricsTestKit
import NIOCore
import SyncAuth
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncCore

@Suite("presence", .timeLimit(.minutes(5)))
struct PresenceTests {
    private let alice = Principal.fixture("alice")

    private static let data = ByteBuffer(bytes: [1, 2, 3, 4])

    @Test(
        "PRS-1, PRS-2, PRS-13: others hear what a subscriber sets and clears, whether they asked for peers or not",
        arguments: TestBackend.available)
    func setAndClear(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let setter = try await harness.subscriber(alice)
            let watcher = try await harness.subscriber(alice)
            setter.setPresence(Self.data, in: alice.space)
            let presence: PresenceNotification = try await watcher.hear(.presence)
            #expect(presence.space == alice.space)
            #expect(presence.data == Self.data)
            #expect(presence.peer.count == 32)
            setter.clearPresence(in: alice.space)
            #expect(
                try await watcher.hear(.presenceLeave)
                    == PresenceLeaveNotification(space: alice.space, peer: presence.peer))
            #expect(try await setter.takeNotifications().isEmpty)
        }
    }

    @Test("a repeated presence is announced again, with its newest data for peers", arguments: TestBackend.available)
    func repeated(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let setter = try await harness.subscriber(alice)
            let watcher = try await harness.subscriber(alice)
            for text in ["one", "one", "two"] { setter.setPresence(ByteBuffer(string: text), in: alice.space) }
            for text in ["one", "one", "two"] {
                #expect(
                    try await watcher.hear(.presence, as: PresenceNotification.self).data == ByteBuffer(string: text))
            }
            #expect(try await watcher.peers(in: alice.space).map(\.data) == [ByteBuffer(string: "two")])
        }
    }

    @Test("PRS-3: a disconnect is a leave", arguments: TestBackend.available)
    func disconnect(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let setter = try await harness.subscriber(alice)
            let watcher = try await harness.subscriber(alice)
            setter.setPresence(Self.data, in: alice.space)
            let presence: PresenceNotification = try await watcher.hear(.presence)
            setter.connection.fail()
            #expect(try await watcher.hear(.presenceLeave, as: PresenceLeaveNotification.self).peer == presence.peer)
            await harness.waitUntilServed(setter)
            #expect(harness.engine.presence.occupiedSpaces == 0)
        }
    }

    @Test(
        "PRS-4, UNS-2: unsubscribing is a leave with the same peer; all subscriptions end before the first leave",
        arguments: TestBackend.available)
    func unsubscribe(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let (spaces, setter, watcher) = try await self.twoSpaces(harness)
            for space in spaces { setter.setPresence(Self.data, in: space) }
            let peers = [
                try await watcher.hear(.presence, as: PresenceNotification.self).peer,
                try await watcher.hear(.presence, as: PresenceNotification.self).peer,
            ]
            setter.notify(
                .unsubscribe, UnsubscribeParams(spaces: ["not-a-uuid"] + spaces.map { $0.wireText.uppercased() }))
            for (space, peer) in zip(spaces, peers) {
                #expect(
                    try await watcher.hear(.presenceLeave) == PresenceLeaveNotification(space: space, peer: peer))
            }
            #expect(try await setter.takeNotifications().isEmpty)
            #expect(harness.engine.presence.occupiedSpaces == 0)
        }
    }

    /// Two spaces and two connections that watch both, by tokens of the same user with either as personal space.
    private func twoSpaces(
        _ harness: EngineHarness
    ) async throws -> (spaces: [SpaceID], setter: TestClient, watcher: TestClient) {
        var moved = self.alice
        moved.personalSpace = SpaceID(bits: self.alice.space.bits ^ 1)
        var clients: [TestClient] = []
        for _ in 0..<2 {
            let client = try await harness.subscriber(self.alice)
            let token = TokenParams(token: harness.tokens.issue(moved))
            #expect(try await client.call(.tokenRefresh, token, as: TokenRefreshResult.self).error == nil)
            _ = try await client.subscribe(moved.space)
            clients.append(client)
        }
        return ([self.alice.space, moved.space], clients[0], clients[1])
    }

    @Test(
        "PRS-10: a connection that ends leaves its spaces in the order of their ids", arguments: TestBackend.available)
    func endInOrder(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let (spaces, setter, watcher) = try await self.twoSpaces(harness)
            for space in spaces.sorted().reversed() { setter.setPresence(Self.data, in: space) }
            watcher.setPresence(Self.data, in: spaces[0])
            try await setter.settle()
            _ = try await watcher.takeNotifications()
            setter.connection.fail()
            for space in spaces.sorted() {
                #expect(try await watcher.hear(.presenceLeave, as: PresenceLeaveNotification.self).space == space)
            }
            await harness.waitUntilServed(setter)
            #expect(harness.engine.presence.occupiedSpaces == 1)
        }
    }

    @Test("PRS-5: 1,025 bytes are ignored, 1,024 and none are taken", arguments: TestBackend.available)
    func size(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let setter = try await harness.subscriber(alice)
            let watcher = try await harness.subscriber(alice)
            for count in [1_025, 1_024, 0] {
                setter.setPresence(ByteBuffer(repeating: 7, count: count), in: alice.space)
            }
            for count in [1_024, 0] {
                #expect(
                    try await watcher.hear(.presence, as: PresenceNotification.self).data.readableBytes == count)
            }
            #expect(try await watcher.peers(in: alice.space).map(\.data.readableBytes) == [0])
        }
    }

    @Test(
        "PRS-6, PRS-14, PRS-15: without a subscription, without an entry or undecodable there is no effect",
        arguments: TestBackend.available)
    func ignored(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let stranger = harness.connect(alice)
            let watcher = try await harness.subscriber(alice)
            stranger.setPresence(Self.data, in: alice.space)
            stranger.clearPresence(in: alice.space)
            stranger.notify(.presenceSet, PresenceParams(space: "", data: Self.data))
            stranger.notify(.presenceSet, PresenceParams(space: "not-a-uuid", data: Self.data))
            stranger.notify(.presenceClear, PresenceClearParams(space: ""))
            for method in [Method.presenceSet, .presenceClear, .eventSend] {
                stranger.notify(method, TokenParams(token: ""))
            }
            try await stranger.settle()
            _ = try await stranger.subscribe(alice.space)
            stranger.clearPresence(in: alice.space)
            try await stranger.settle()
            #expect(try await watcher.takeNotifications().isEmpty)
            #expect(try await watcher.peers(in: alice.space).isEmpty)
            #expect(harness.engine.presence.occupiedSpaces == 0)
        }
    }

    @Test("a presence notification in a frame of the wrong kind is no method", arguments: TestBackend.available)
    func wrongKind(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = try await harness.subscriber(alice)
            await #expect(throws: ErrorBody(code: .methodNotFound, message: "unknown method: presence.set")) {
                let params = PresenceParams(space: alice.space.wireText, data: Self.data)
                _ = try await client.answer(to: client.request(.presenceSet, params))
            }
        }
    }

    @Test("SUB-16, SUB-17, SUB-18: peers are the others, and only for who asks", arguments: TestBackend.available)
    func peers(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let setter = try await harness.subscriber(alice)
            setter.setPresence(ByteBuffer(bytes: [9, 9, 9]), in: alice.space)
            try await setter.settle()
            let other = harness.connect(alice)
            let peers = try await other.peers(in: alice.space)
            #expect(peers.map(\.data) == [ByteBuffer(bytes: [9, 9, 9])])
            #expect(peers.first?.peer.count == 32)
            #expect(try await other.subscribe(alice.space).spaces.first?.peers == [])
            #expect(try await setter.peers(in: alice.space) == [])
            other.setPresence(Self.data, in: alice.space)
            try await other.settle()
            #expect(try await setter.peers(in: alice.space).map(\.data) == [Self.data])
        }
    }

    @Test(
        "rpc §2.6: peers that would make the answer too large are left out, those of the last spaces first",
        arguments: TestBackend.available)
    func tooManyPeers(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) {
            $0.connectionsPerMailboxMax = nil
        } _: { harness in
            _ = try await self.fill(ByteBuffer(repeating: 1, count: 1_024), harness)
            let client = harness.connect(alice)
            let entry = SubscribeParams.Entry(id: alice.space.wireText, presence: true)
            let id = client.request(.subscribe, SubscribeParams(spaces: Array(repeating: entry, count: 60)))
            let frame = try await client.answer(to: id)
            let counts = try frame.result.decode(as: SubscribeResult.self).spaces.map(\.peers.count)
            let with = counts.prefix { $0 == 100 }.count
            #expect(counts == Array(repeating: 100, count: with) + Array(repeating: 0, count: 60 - with))
            let bytes = frame.result.item?.readableBytes ?? 0
            #expect(bytes < 4_194_304)
            #expect(bytes > 4_194_304 - 110_000)
        }
    }

    @Test(
        "PRS-8, EVT-4: one peer in presence and event of a space, another one in another space",
        arguments: TestBackend.available)
    func pseudonyms(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let (spaces, setter, watcher) = try await self.twoSpaces(harness)
            setter.setPresence(Self.data, in: spaces[0])
            setter.sendEvent(Self.data, to: spaces[0])
            setter.setPresence(Self.data, in: spaces[1])
            let first: PresenceNotification = try await watcher.hear(.presence)
            #expect(try await watcher.hear(.event, as: PresenceNotification.self) == first)
            let second: PresenceNotification = try await watcher.hear(.presence)
            #expect(second.space == spaces[1])
            #expect(first.peer != second.peer)
            #expect(first.peer.allSatisfy { "0123456789abcdef".contains($0) })
        }
    }

    /// 100 connections that are present in the space, and have read what they were told of each other.
    private func fill(_ data: ByteBuffer, _ harness: EngineHarness) async throws -> [TestClient] {
        var setters: [TestClient] = []
        for _ in 0..<100 {
            let setter = try await harness.subscriber(alice)
            setter.setPresence(data, in: alice.space)
            setters.append(setter)
            try await setter.settle()
            if setters.count.isMultiple(of: 50) {
                for earlier in setters { _ = try await earlier.takeNotifications() }
            }
        }
        return setters
    }

    @Test("PRS-11: the 101st connection of a space is not stored and not announced", arguments: TestBackend.available)
    func full(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) {
            $0.connectionsPerMailboxMax = nil
        } _: { harness in
            let setters = try await self.fill(Self.data, harness)
            let late = try await harness.subscriber(alice)
            late.setPresence(Self.data, in: alice.space)
            try await late.settle()
            #expect(try await setters[0].takeNotifications().isEmpty)
            setters[1].setPresence(ByteBuffer(string: "again"), in: alice.space)
            let heard: PresenceNotification = try await setters[0].hear(.presence)
            #expect(heard.data == ByteBuffer(string: "again"))
            #expect(try await late.peers(in: alice.space).count == 100)
        }
    }

    @Test(
        "PRS-12, OJ1: a sweep removes what was not set for 45 s and tells everybody, the silent one included",
        arguments: TestBackend.available)
    func sweep(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            await harness.startJobs()
            let silent = try await harness.subscriber(alice)
            let lively = try await harness.subscriber(alice)
            silent.setPresence(Self.data, in: alice.space)
            let peer = try await lively.hear(.presence, as: PresenceNotification.self).peer
            harness.clock.advance(by: .seconds(1))
            for _ in 0..<2 {
                await harness.clock.waitForSleeper(of: .seconds(14))
                harness.clock.advance(by: .seconds(14))
                await harness.clock.waitForSleeper(of: .seconds(15))
                harness.clock.advance(by: .seconds(1))
            }
            lively.setPresence(Self.data, in: alice.space)
            _ = try await silent.hear(.presence, as: PresenceNotification.self)
            // 45 s after the first entry, 14 s after the second.
            await harness.clock.waitForSleeper(of: .seconds(14))
            harness.clock.advance(by: .seconds(14))
            for client in [silent, lively] {
                let leave: PresenceLeaveNotification = try await client.hear(.presenceLeave)
                #expect(leave.peer == peer)
            }
            #expect(try await lively.peers(in: alice.space).isEmpty)
            #expect(try await silent.peers(in: alice.space).count == 1)
            #expect(harness.logs.lines.contains("debug stale presence removed count=1"))
            await harness.clock.waitForSleepers(1)
            let runs = try harness.metrics.expectCounter(
                "job_runs_total", [("job", "presence_cleanup"), ("outcome", "success")])
            #expect(runs.totalValue >= 1)
        }
    }

    @Test("operations §6: a shutdown announces no leave", arguments: TestBackend.available)
    func shutdown(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let setter = try await harness.subscriber(alice)
            let watcher = try await harness.subscriber(alice)
            setter.setPresence(Self.data, in: alice.space)
            _ = try await watcher.hear(.presence, as: PresenceNotification.self)
            let push = PushParams(space: alice.space.wireText, changes: [.fixture(1)])
            // The watcher has a request in progress, so it is still there when the setter goes.
            var shutdown: Task<Void, Never>?
            var id = ""
            try await harness.database.withWritesBlocked(to: alice.space) {
                id = watcher.request(.push, push)
                try await harness.database.waitUntil { $0.pushesQueued > 0 }
                shutdown = Task { await harness.engine.shutDown(grace: .seconds(60), closeWait: .seconds(60)) }
                await harness.waitUntilServed(setter)
            }
            let pushed: PushResult = try await watcher.answer(to: id).result.decode()
            #expect(pushed == .accepted(cursor: 1))
            #expect(await watcher.connection.next() == .close(.goingAway))
            #expect(!watcher.hasNotifications)
            await shutdown?.value
        }
    }

    @Test(
        "a subscription that ends from outside takes its presence with it, also one that is set in that instant",
        arguments: TestBackend.available)
    func endedFromOutside(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let setter = try await harness.subscriber(alice)
            let watcher = try await harness.subscriber(alice)
            setter.setPresence(Self.data, in: alice.space)
            let peer = try await watcher.hear(.presence, as: PresenceNotification.self).peer
            let connection = try #require(harness.engine.connectionID(of: setter))
            harness.engine.broker.unsubscribe(connection, from: [alice.space])
            harness.engine.presence.subscriptionEnded(connection, to: alice.space)
            harness.engine.presence.subscriptionEnded(connection, to: alice.space)
            #expect(try await watcher.hear(.presenceLeave, as: PresenceLeaveNotification.self).peer == peer)
            setter.setPresence(Self.data, in: alice.space)
            try await setter.settle()
            #expect(try await watcher.takeNotifications().isEmpty)
        }
    }

    @Test(
        "threads: whatever order a set and the end of its subscription come in, the last word is a leave",
        arguments: TestBackend.available)
    func race(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let watcher = try await harness.subscriber(alice)
            let presence = harness.engine.presence
            let broker = harness.engine.broker
            let connection = ConnectionID.random()
            let member = Subscriber(id: connection, connection: MemoryConnection(), mailbox: MailboxKey(alice))
            #expect(broker.register(member))
            for _ in 0..<200 {
                broker.subscribe(connection, to: [alice.space])
                await withTaskGroup(of: Void.self) { group in
                    group.addTask { presence.set(Self.data, of: connection, in: alice.space) }
                    group.addTask {
                        broker.unsubscribe(connection, from: [alice.space])
                        presence.subscriptionEnded(connection, to: alice.space)
                    }
                }
                let heard = try await watcher.takeNotifications()
                #expect(heard.isEmpty || heard.last == "presence.leave", "\(heard)")
                #expect(presence.occupiedSpaces == 0)
            }
            broker.deregister(connection)
        }
    }
}

@Suite("event.send", .timeLimit(.minutes(5)))
struct EventTests {
    private let alice = Principal.fixture("alice")

    @Test(
        "EVT-1: the other subscribers get the event, its sender does not; nothing is kept",
        arguments: TestBackend.available)
    func send(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let sender = try await harness.subscriber(alice)
            let watcher = try await harness.subscriber(alice)
            sender.sendEvent(ByteBuffer(bytes: [4, 5, 6]), to: alice.space)
            let event: PresenceNotification = try await watcher.hear(.event)
            #expect(event.space == alice.space)
            #expect(event.data == ByteBuffer(bytes: [4, 5, 6]))
            #expect(event.peer.count == 32)
            #expect(try await sender.takeNotifications().isEmpty)
            #expect(harness.engine.presence.occupiedSpaces == 0)
        }
    }

    @Test("EVT-2: 4,097 bytes are ignored, 4,096 and none are delivered", arguments: TestBackend.available)
    func size(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let sender = try await harness.subscriber(alice)
            let watcher = try await harness.subscriber(alice)
            for count in [4_097, 4_096, 0] { sender.sendEvent(ByteBuffer(repeating: 7, count: count), to: alice.space) }
            for count in [4_096, 0] {
                #expect(try await watcher.hear(.event, as: PresenceNotification.self).data.readableBytes == count)
            }
        }
    }

    @Test(
        "EVT-3: an event of a connection that is not subscribed, or to no space, reaches nobody",
        arguments: TestBackend.available)
    func notSubscribed(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let sender = harness.connect(alice)
            let watcher = try await harness.subscriber(alice)
            sender.sendEvent(ByteBuffer(bytes: [1]), to: alice.space)
            sender.notify(.eventSend, PresenceParams(space: "", data: ByteBuffer(bytes: [1])))
            try await sender.settle()
            #expect(try await watcher.takeNotifications().isEmpty)
        }
    }

    @Test(
        "wire §13 row 7: presence, events and pushes of one connection arrive in its order",
        arguments: TestBackend.available)
    func order(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let sender = try await harness.subscriber(alice)
            let watcher = try await harness.subscriber(alice)
            sender.setPresence(ByteBuffer(bytes: [1]), in: alice.space)
            sender.sendEvent(ByteBuffer(bytes: [1]), to: alice.space)
            _ = try await sender.push([.fixture(1)], to: alice.space)
            sender.sendEvent(ByteBuffer(bytes: [2]), to: alice.space)
            sender.clearPresence(in: alice.space)
            try await sender.settle()
            #expect(
                try await watcher.takeNotifications() == ["presence", "event", "sync", "event", "presence.leave"])
        }
    }
}
