import SyncAuth
import SyncProtocol
import SyncTesting
import Testing

@testable import SyncCore

/// The part of the table that is about why somebody may watch.
@Suite("Authority of subscriptions", .timeLimit(.minutes(1)))
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
        for cid in chain.revocableCIDs {
            var table = SubscriptionTable()
            let (bob, carol, owner) = (self.subscriber(), self.subscriber(), self.subscriber())
            for subscriber in [bob, carol, owner] { _ = table.register(subscriber, limit: nil) }
            table.accept(bob.id, to: self.space, on: chain)
            table.accept(bob.id, to: self.otherSpace, on: nil)
            table.accept(carol.id, to: self.space, on: others)
            table.accept(owner.id, to: self.space, on: nil)
            #expect(table.endSubscriptions(restingOn: cid, in: self.otherSpace).isEmpty)
            #expect(table.endSubscriptions(restingOn: "other", in: self.space).isEmpty)
            #expect(table.endSubscriptions(restingOn: cid, in: self.space).map(\.subscriber.id) == [bob.id])
            #expect(!table.isSubscribed(bob.id, to: self.space))
            #expect(table.isSubscribed(bob.id, to: self.otherSpace))
            #expect(Set(table.subscribers(of: self.space).map(\.id)) == [carol.id, owner.id])
            #expect(table.endSubscriptions(restingOn: cid, in: self.space).isEmpty)
        }
    }

    @Test("The tokens that subscriptions rest on are known, those of an open attempt among them")
    func tokens() throws {
        var renewal = try Renewal(self.subscriber(), over: self.space)
        renewal.table.accept(renewal.bob.id, to: self.otherSpace, on: nil)
        #expect(renewal.table.tokens == [self.space: Set(renewal.first.revocableCIDs + renewal.second.revocableCIDs)])
        renewal.table.accept(renewal.ticket, of: renewal.bob.id, to: self.space)
        #expect(renewal.table.tokens == [self.space: Set(renewal.second.revocableCIDs)])
        renewal.table.unsubscribe(renewal.bob.id, from: [self.space])
        #expect(renewal.table.tokens == [:])
    }

    @Test("C3: subscribing again replaces the authority, to a better and to a worse one")
    func replaced() throws {
        let first = try VerifiedDelegation.fixture("bob", over: self.space)
        let second = try VerifiedDelegation.fixture("bob", over: self.space)
        var table = SubscriptionTable()
        let bob = self.subscriber()
        _ = table.register(bob, limit: nil)
        let additions = [first, second].map { table.accept(bob.id, to: self.space, on: $0) }
        #expect(additions == [true, false])
        #expect(table.endSubscriptions(restingOn: first.cids[0], in: self.space).isEmpty)
        #expect(table.isSubscribed(bob.id, to: self.space))
        #expect(table.endSubscriptions(restingOn: second.cids[0], in: self.space).count == 1)
    }

    /// A table in which bob has subscribed on the first of two chains, and has an attempt open on the second.
    private struct Renewal {
        var table = SubscriptionTable()
        let bob: Subscriber
        let first: VerifiedDelegation
        let second: VerifiedDelegation
        let ticket: SubscriptionTicket
        let space: SpaceID

        init(_ bob: Subscriber, over space: SpaceID, expiries: [UInt64] = [100, 200]) throws {
            self.bob = bob
            self.space = space
            self.first = try .fixture("bob", over: space, expiresAt: expiries[0])
            self.second = try .fixture("bob", over: space, expiresAt: expiries[1])
            _ = self.table.register(bob, limit: nil)
            self.table.accept(bob.id, to: space, on: self.first)
            let ticket = self.table.subscribe(bob.id, to: space, on: self.second)
            self.ticket = try #require(ticket)
        }

        mutating func revoke(_ delegation: VerifiedDelegation) -> Int {
            self.table.endSubscriptions(restingOn: delegation.cids[0], in: self.space).count
        }
    }

    @Test("C3: an attempt that is taken back leaves the authority that was there, a first one leaves nothing")
    func withdrawn() throws {
        var renewal = try Renewal(self.subscriber(), over: self.space)
        renewal.table.withdraw(renewal.ticket, of: renewal.bob.id, to: self.space)
        #expect(renewal.revoke(renewal.second) == 0)
        #expect(renewal.table.subscribers(of: self.space).count == 1)
        #expect(renewal.revoke(renewal.first) == 1)
        let attempt = renewal.table.subscribe(renewal.bob.id, to: self.space, on: renewal.second)
        renewal.table.withdraw(try #require(attempt), of: renewal.bob.id, to: self.space)
        #expect(!renewal.table.isSubscribed(renewal.bob.id, to: self.space))
        #expect(renewal.table.watchedSpaces == 0)
    }

    @Test("C3: an accepted attempt counts alone, whatever becomes of the authority before it")
    func accepted() throws {
        var renewal = try Renewal(self.subscriber(), over: self.space)
        renewal.table.accept(renewal.ticket, of: renewal.bob.id, to: self.space)
        #expect(renewal.revoke(renewal.first) == 0)
        #expect(renewal.table.endExpired(at: 101).isEmpty)
        #expect(renewal.table.isSubscribed(renewal.bob.id, to: self.space))
        #expect(renewal.revoke(renewal.second) == 1)
    }

    @Test("C3, C4: while an attempt is open the subscription ends with the last of both authorities")
    func openAttempt() throws {
        var renewal = try Renewal(self.subscriber(), over: self.space)
        #expect(renewal.revoke(renewal.second) == 0)
        #expect(renewal.revoke(renewal.first) == 1)
        renewal = try Renewal(self.subscriber(), over: self.space)
        #expect(renewal.revoke(renewal.first) == 0)
        #expect(renewal.revoke(renewal.second) == 1)
        renewal = try Renewal(self.subscriber(), over: self.space)
        #expect(renewal.table.endExpired(at: 101).isEmpty)
        #expect(renewal.table.endExpired(at: 201).count == 1)
        renewal = try Renewal(self.subscriber(), over: self.space, expiries: [200, 100])
        #expect(renewal.table.endExpired(at: 101).isEmpty)
        renewal.table.accept(renewal.ticket, of: renewal.bob.id, to: self.space)
        #expect(renewal.table.endExpired(at: 201).count == 1)
        #expect(renewal.table.expiryCount == 0)
    }

    @Test("The same space twice in one request: the later entry that succeeds counts")
    func twice() throws {
        var renewal = try Renewal(self.subscriber(), over: self.space)
        let third = try VerifiedDelegation.fixture("bob", over: self.space)
        let attempt = renewal.table.subscribe(renewal.bob.id, to: self.space, on: third)
        renewal.table.accept(renewal.ticket, of: renewal.bob.id, to: self.space)
        renewal.table.withdraw(try #require(attempt), of: renewal.bob.id, to: self.space)
        #expect(renewal.revoke(third) == 0)
        #expect(renewal.revoke(renewal.first) == 0)
        #expect(renewal.revoke(renewal.second) == 1)
    }

    @Test("C4: a subscription is valid through the second of its expiry and over after it")
    func expiry() throws {
        var table = SubscriptionTable()
        let (bob, owner) = (self.subscriber(), self.subscriber())
        for subscriber in [bob, owner] { _ = table.register(subscriber, limit: nil) }
        table.accept(bob.id, to: self.space, on: try .fixture("bob", over: self.space, expiresAt: 100))
        table.accept(bob.id, to: self.otherSpace, on: try .fixture("bob", over: self.otherSpace, expiresAt: 90))
        table.accept(owner.id, to: self.space, on: nil)
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
            table.accept(bob.id, to: self.space, on: try .fixture("bob", over: self.space, expiresAt: expiry))
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
            table.accept(bob.id, to: self.space, on: delegations[round % 4])
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
