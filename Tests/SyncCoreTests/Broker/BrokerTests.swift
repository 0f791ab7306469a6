import Logging
import MetricsTestKit
import NIOCore
import SyncAuth
import SyncProtocol
import SyncTesting
import Testing

@testable import SyncCore

@Suite("Broker", .timeLimit(.minutes(5)))
struct BrokerTests {
    private let metrics = TestMetrics()

    private func broker(limit: Int? = nil) -> Broker {
        Broker(
            connectionsPerMailboxMax: limit, metrics: CoreMetrics(factory: self.metrics),
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
    }

    private struct Member {
        let id = ConnectionID.random()
        let connection = MemoryConnection()
        let mailbox: MailboxKey

        init(_ principal: Principal = .fixture()) { self.mailbox = MailboxKey(principal) }

        func register(with broker: Broker) -> Bool {
            broker.register(Subscriber(id: self.id, connection: self.connection, mailbox: self.mailbox))
        }
    }

    private let frame = ByteBuffer(string: "frame")
    private let space = SpaceID.random()
    private let otherSpace = SpaceID.random()

    @Test("W-50: a broadcast reaches the other subscribers of the space and nobody else")
    func publish() async {
        let broker = self.broker()
        let (sender, watcher, stranger) = (Member(), Member(), Member())
        for member in [sender, watcher, stranger] { #expect(member.register(with: broker)) }
        broker.subscribe(sender.id, to: [self.space])
        broker.subscribe(watcher.id, to: [self.space])
        broker.subscribe(stranger.id, to: [self.otherSpace])
        #expect(broker.publish(self.frame, to: self.space, except: sender.id) == 1)
        #expect(await watcher.connection.next() == .frame(self.frame))
        #expect(sender.connection.unreadFrames == 0)
        #expect(stranger.connection.unreadFrames == 0)
        #expect(broker.publish(self.frame, to: self.space, except: nil) == 2)
    }

    @Test("W-51, W-52: added spaces are heard, removed ones are not")
    func changeSpaces() {
        let broker = self.broker()
        let member = Member()
        _ = member.register(with: broker)
        #expect(broker.publish(self.frame, to: self.space, except: nil) == 0)
        #expect(broker.subscribe(member.id, to: [self.space, self.space]) == [self.space])
        #expect(broker.subscribe(member.id, to: [self.space, self.otherSpace]) == [self.otherSpace])
        #expect(broker.isSubscribed(member.id, to: self.space))
        #expect(broker.publish(self.frame, to: self.space, except: nil) == 1)
        broker.unsubscribe(member.id, from: [self.space, .random()])
        #expect(!broker.isSubscribed(member.id, to: self.space))
        #expect(broker.publish(self.frame, to: self.space, except: nil) == 0)
        #expect(broker.publish(self.frame, to: self.otherSpace, except: nil) == 1)
    }

    @Test("W-53: closed and slow subscribers are removed, the slow one closes with 4006, others still get everything")
    func slowConsumer() async {
        let broker = self.broker()
        let (closed, slow, healthy) = (Member(), Member(), Member(.fixture("user-2")))
        for member in [closed, slow, healthy] {
            _ = member.register(with: broker)
            broker.subscribe(member.id, to: [self.space])
        }
        closed.connection.fail()
        while slow.connection.offer(self.frame) == .queued {}
        #expect(broker.publish(self.frame, to: self.space, except: healthy.id) == 0)
        #expect(broker.connectionCount(of: closed.mailbox) == 0)
        #expect(await slow.connection.next() == .close(.slowConsumer))
        #expect(broker.publish(self.frame, to: self.space, except: nil) == 1)
        #expect(await healthy.connection.next() == .frame(self.frame))
        #expect(broker.subscribe(slow.id, to: [self.space]).isEmpty)
    }

    @Test("R3: a queue is full at 64 frames, or at 4 MiB")
    func queueBounds() {
        let broker = self.broker()
        let (byCount, byBytes) = (Member(), Member())
        for member in [byCount, byBytes] { _ = member.register(with: broker) }
        broker.subscribe(byCount.id, to: [self.space])
        broker.subscribe(byBytes.id, to: [self.otherSpace])
        for _ in 1...64 { #expect(broker.publish(self.frame, to: self.space, except: nil) == 1) }
        #expect(broker.publish(self.frame, to: self.space, except: nil) == 0)
        let megabyte = ByteBuffer(repeating: 0, count: 1_048_576)
        for _ in 1...4 { #expect(broker.publish(megabyte, to: self.otherSpace, except: nil) == 1) }
        #expect(broker.publish(megabyte, to: self.otherSpace, except: nil) == 0)
    }

    @Test("W-54: deregistering twice changes nothing the second time")
    func deregisterTwice() {
        let broker = self.broker()
        let (first, second) = (Member(), Member())
        for member in [first, second] { _ = member.register(with: broker) }
        #expect(broker.deregister(first.id))
        #expect(!broker.deregister(first.id))
        #expect(broker.connectionCount(of: first.mailbox) == 1)
    }

    @Test("W-20, W-21: the newest connection over the limit loses; a freed place can be taken")
    func limit() {
        let broker = self.broker(limit: 1)
        let (first, second, other) = (Member(), Member(), Member(.fixture("user-2")))
        #expect(first.register(with: broker))
        #expect(!second.register(with: broker))
        #expect(other.register(with: broker))
        broker.deregister(first.id)
        #expect(second.register(with: broker))
    }

    @Test("W-55: without a limit any number registers")
    func noLimit() {
        let broker = self.broker(limit: nil)
        #expect((1...100).allSatisfy { _ in Member().register(with: broker) })
    }

    @Test("wire §11: without a mailbox id the limit counts client and user, invitations go by client")
    func mailboxKeys() {
        var principal = Principal.fixture()
        #expect(MailboxKey(principal).limitKey == "user-1-mailbox")
        #expect(MailboxKey(principal).deliveryKey == "user-1-mailbox")
        principal.mailboxID = ""
        #expect(MailboxKey(principal).limitKey == "11111111-1111-1111-1111-111111111111\0user-1")
        #expect(MailboxKey(principal).deliveryKey == "11111111-1111-1111-1111-111111111111")
    }

    @Test("a broadcast to a mailbox reaches all its connections")
    func mailbox() {
        let broker = self.broker()
        let (first, second, other) = (Member(), Member(), Member(.fixture("user-2")))
        for member in [first, second, other] { _ = member.register(with: broker) }
        #expect(broker.publish(self.frame, toMailbox: first.mailbox.deliveryKey) == 2)
        broker.deregister(first.id)
        #expect(broker.publish(self.frame, toMailbox: first.mailbox.deliveryKey) == 1)
        #expect(other.connection.unreadFrames == 0)
    }

    @Test("the indexes agree after any sequence of changes", arguments: [1, 2, 3] as [UInt64])
    func randomChanges(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let broker = self.broker()
        let spaces = (0..<6).map { _ in SpaceID.random() }
        var members: [Member] = []
        var expected: [ConnectionID: Set<SpaceID>] = [:]
        for _ in 0..<2_000 {
            switch Int.random(in: 0..<10, using: &random) {
            case 0, 1:
                let member = Member()
                _ = member.register(with: broker)
                members.append(member)
                expected[member.id] = []
            case 2 where !members.isEmpty:
                let member = members.remove(at: .random(in: 0..<members.count, using: &random))
                broker.deregister(member.id)
                expected[member.id] = nil
            case 3...5:
                guard let member = members.randomElement(using: &random) else { continue }
                let chosen = spaces.filter { _ in Bool.random(using: &random) }
                broker.unsubscribe(member.id, from: chosen)
                expected[member.id]?.subtract(chosen)
            default:
                guard let member = members.randomElement(using: &random) else { continue }
                let chosen = spaces.filter { _ in Bool.random(using: &random) }
                let added = broker.subscribe(member.id, to: chosen)
                #expect(Set(added) == Set(chosen).subtracting(expected[member.id] ?? []))
                expected[member.id]?.formUnion(chosen)
            }
        }
        for space in spaces {
            for member in members {
                #expect(broker.isSubscribed(member.id, to: space) == expected[member.id]?.contains(space))
            }
            let watchers = members.filter { expected[$0.id]?.contains(space) == true }
            #expect(broker.publish(self.frame, to: space, except: nil) == watchers.count)
        }
    }

    @Test("OX3: the gauges return to zero")
    func gauges() throws {
        let broker = self.broker()
        let member = Member()
        _ = member.register(with: broker)
        broker.subscribe(member.id, to: [self.space, self.otherSpace])
        #expect(try self.metrics.expectMeter("ws_connections", [("kind", "client")]).lastValue == 1)
        #expect(try self.metrics.expectMeter("broker_spaces_watched").lastValue == 2)
        member.connection.fail()
        broker.publish(self.frame, to: self.space, except: nil)
        #expect(try self.metrics.expectMeter("ws_connections", [("kind", "client")]).lastValue == 0)
        #expect(try self.metrics.expectMeter("broker_spaces_watched").lastValue == 0)
    }
}
