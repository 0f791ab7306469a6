import SyncAuth
import SyncProtocol
import SyncTesting
import Testing

@testable import SyncCore

/// The part of the table that is about why somebody may watch.
@Suite("Authority of subscriptions")
struct SubscriptionAuthorityTests {
    private let space = SpaceID.random()
    private let otherSpace = SpaceID.random()

    private func subscriber() -> Subscriber {
        Subscriber(id: .random(), connection: MemoryConnection(), mailbox: MailboxKey(.fixture()))
    }

    @Test("C3: revoking any token of a chain ends the subscription, other chains and spaces stay")
    func revocation() throws {
        let chain = try VerifiedDelegation.fixture("alice", "bob", over: self.space)
        let others = try VerifiedDelegation.fixture("alice", "carol", over: self.space)
        for cid in chain.cids {
            var table = SubscriptionTable()
            let (bob, carol, owner) = (self.subscriber(), self.subscriber(), self.subscriber())
            for subscriber in [bob, carol, owner] { _ = table.register(subscriber, limit: nil) }
            _ = table.subscribe(bob.id, to: self.space, on: chain)
            _ = table.subscribe(bob.id, to: self.otherSpace, on: nil)
            _ = table.subscribe(carol.id, to: self.space, on: others)
            _ = table.subscribe(owner.id, to: self.space, on: nil)
            #expect(table.endSubscriptions(restingOn: cid, in: self.otherSpace).isEmpty)
            #expect(table.endSubscriptions(restingOn: "other", in: self.space).isEmpty)
            #expect(table.endSubscriptions(restingOn: cid, in: self.space).map(\.subscriber.id) == [bob.id])
            #expect(!table.isSubscribed(bob.id, to: self.space))
            #expect(table.isSubscribed(bob.id, to: self.otherSpace))
            #expect(Set(table.subscribers(of: self.space).map(\.id)) == [carol.id, owner.id])
            #expect(table.endSubscriptions(restingOn: cid, in: self.space).isEmpty)
        }
    }

    @Test("C3: subscribing again replaces the authority, to a better and to a worse one")
    func replaced() throws {
        let first = try VerifiedDelegation.fixture("bob", over: self.space)
        let second = try VerifiedDelegation.fixture("bob", over: self.space)
        var table = SubscriptionTable()
        let bob = self.subscriber()
        _ = table.register(bob, limit: nil)
        let additions = [first, second].map { table.subscribe(bob.id, to: self.space, on: $0) }
        #expect(additions == [true, false])
        #expect(table.endSubscriptions(restingOn: first.cids[0], in: self.space).isEmpty)
        #expect(table.isSubscribed(bob.id, to: self.space))
        #expect(table.endSubscriptions(restingOn: second.cids[0], in: self.space).count == 1)
    }

    @Test("C4: a subscription is valid through the second of its expiry and over after it")
    func expiry() throws {
        var table = SubscriptionTable()
        let (bob, owner) = (self.subscriber(), self.subscriber())
        for subscriber in [bob, owner] { _ = table.register(subscriber, limit: nil) }
        _ = table.subscribe(bob.id, to: self.space, on: try .fixture("bob", over: self.space, expiresAt: 100))
        _ = table.subscribe(bob.id, to: self.otherSpace, on: try .fixture("bob", over: self.otherSpace, expiresAt: 90))
        _ = table.subscribe(owner.id, to: self.space, on: nil)
        #expect(table.nextExpiry == 90)
        #expect(table.endExpired(at: 90).isEmpty)
        #expect(table.endExpired(at: 91).map(\.space) == [self.otherSpace])
        #expect(table.nextExpiry == 100)
        #expect(table.endExpired(at: 100).isEmpty)
        #expect(table.endExpired(at: 1_000).map(\.space) == [self.space])
        #expect(table.nextExpiry == nil)
        #expect(table.subscribers(of: self.space).map(\.id) == [owner.id])
    }

    @Test("C4: a renewed authority does not end with the old one, a shortened one ends early")
    func renewed() throws {
        var table = SubscriptionTable()
        let bob = self.subscriber()
        _ = table.register(bob, limit: nil)
        for expiry in [100, 200, 150] as [UInt64] {
            _ = table.subscribe(bob.id, to: self.space, on: try .fixture("bob", over: self.space, expiresAt: expiry))
        }
        #expect(table.endExpired(at: 101).isEmpty)
        #expect(table.endExpired(at: 151).count == 1)
        #expect(table.endExpired(at: 300).isEmpty)
    }

    @Test("What has been left or replaced does not pile up until it expires")
    func compaction() throws {
        var table = SubscriptionTable()
        let bob = self.subscriber()
        _ = table.register(bob, limit: nil)
        let delegations = try (0..<4).map { index in
            try VerifiedDelegation.fixture("bob", over: self.space, expiresAt: TestDelegation.farFuture - UInt64(index))
        }
        for round in 0..<2_000 {
            _ = table.subscribe(bob.id, to: self.space, on: delegations[round % 4])
            if round % 3 == 0 { table.unsubscribe(bob.id, from: [self.space]) }
            #expect(table.expiryCount <= 67)
        }
        table.deregister(bob.id)
        #expect(table.endExpired(at: .max).isEmpty)
        #expect(table.expiryCount == 0)
    }

    @Test("Broadcasts to a space are waited for, those to others and later ones are not")
    func flights() async {
        var flights = PublicationFlights()
        let (first, elsewhere) = (flights.takeOff(to: self.space), flights.takeOff(to: self.otherSpace))
        let second = flights.takeOff(to: self.space)
        await withCheckedContinuation { (done: CheckedContinuation<Void, Never>) in
            let isKept = flights.wait(for: self.space, done)
            #expect(isKept)
            let later = flights.takeOff(to: self.space)
            #expect(flights.land(elsewhere).isEmpty)
            #expect(flights.land(second).isEmpty)
            #expect(flights.land(later).isEmpty)
            let over = flights.land(first)
            #expect(over.count == 1)
            for continuation in over { continuation.resume() }
        }
        #expect(flights.count == 0)
        await withCheckedContinuation { (done: CheckedContinuation<Void, Never>) in
            let isKept = flights.wait(for: self.space, done)
            #expect(!isKept)
            done.resume()
        }
    }
}
