import Dispatch
import Foundation
import Logging
import MetricsTestKit
import NIOCore
import SyncAuth
import SyncProtocol
import SyncTesting
import Synchronization
import Testing

@testable import SyncCore

@Suite("Revocation in the broker", .timeLimit(.minutes(2)))
struct BrokerRevocationTests {
    private let space = SpaceID.random()
    private let frame = ByteBuffer(string: "ciphertext")

    /// A broker, its log and a wall clock.
    private struct Parts: Sendable {
        let log = RevocationLog()
        let time = EngineHarness.WallClock()
        let broker: Broker

        init() {
            let time = self.time
            self.broker = Broker(
                connectionsPerMailboxMax: nil, revocations: self.log, unixTime: { time.value },
                metrics: CoreMetrics(factory: TestMetrics()),
                logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
        }

        func register(_ connection: any FrameConnection = MemoryConnection()) -> ConnectionID {
            let id = ConnectionID.random()
            #expect(self.broker.register(Subscriber(id: id, connection: connection, mailbox: MailboxKey(.fixture()))))
            return id
        }

        func subscribe(
            _ id: ConnectionID, on delegation: VerifiedDelegation, mark: RevocationMark? = nil
        ) -> AuthorizationError? {
            let request = Broker.Request(
                space: delegation.space, delegation: delegation, mark: mark ?? self.log.mark)
            return self.broker.accept(request, of: id)
        }
    }

    @Test("C3: a revoked subscriber hears nothing any more, the others still do")
    func revoke() async throws {
        let parts = Parts()
        let (bobSocket, carolSocket) = (MemoryConnection(), MemoryConnection())
        let (bob, carol) = (parts.register(bobSocket), parts.register(carolSocket))
        let chain = try VerifiedDelegation.fixture("alice", "bob", over: self.space)
        #expect(parts.subscribe(bob, on: chain) == nil)
        #expect(parts.subscribe(carol, on: try .fixture("carol", over: self.space)) == nil)
        #expect(await parts.broker.revoke(chain.cids[1], in: self.space).map(\.subscriber.id) == [bob])
        #expect(parts.broker.publish(self.frame, to: self.space, except: nil) == 1)
        #expect(bobSocket.unreadFrames == 0)
        #expect(carolSocket.unreadFrames == 1)
    }

    @Test(
        "C3: a grant from before the revocation lets nobody in after it, a grant from after it is judged by the store")
    func lateSubscriber() async throws {
        let parts = Parts()
        let bob = parts.register()
        let chain = try VerifiedDelegation.fixture("bob", over: self.space)
        let mark = parts.log.mark
        #expect(await parts.broker.revoke(chain.cids[0], in: self.space).isEmpty)
        #expect(parts.subscribe(bob, on: chain, mark: mark) == .refused(.delegation(.revoked)))
        #expect(!parts.broker.isSubscribed(bob, to: self.space))
        #expect(parts.subscribe(bob, on: try .fixture("bob", over: self.space), mark: mark) == nil)
        #expect(parts.broker.isSubscribed(bob, to: self.space))
    }

    @Test("C3: a revocation returns after the broadcasts that were under way to its victims")
    func broadcastUnderWay() async throws {
        let parts = Parts()
        let (offered, gate) = (Flag(), DispatchSemaphore(value: 0))
        let bob = parts.register(
            ProbeConnection { _ in
                offered.raise()
                gate.wait()
            })
        let chain = try VerifiedDelegation.fixture("bob", over: self.space)
        #expect(parts.subscribe(bob, on: chain) == nil)
        let (broker, frame, space) = (parts.broker, self.frame, self.space)
        let revoked = Flag()
        try await withThrowingTaskGroup(of: Void.self) { group in
            defer { gate.signal() }
            group.addTask { await onThreadThatMayBeHeld { broker.publish(frame, to: space, except: nil) } }
            try await eventually { offered.isRaised }
            group.addTask {
                _ = await broker.revoke(chain.cids[0], in: space)
                revoked.raise()
            }
            try await eventually { !broker.isSubscribed(bob, to: space) }
            for _ in 0..<100 { await Task.yield() }
            #expect(!revoked.isRaised)
            gate.signal()
            try await group.waitForAll()
        }
        #expect(revoked.isRaised)
    }

    @Test("C3: a revocation returns after the answer to a subscription that it found accepted")
    func answerUnderWay() async throws {
        let parts = Parts()
        let bob = parts.register()
        let chain = try VerifiedDelegation.fixture("bob", over: self.space)
        let request = Broker.Request(space: self.space, delegation: chain, mark: parts.log.mark)
        let (broker, space) = (parts.broker, self.space)
        let (answering, answered, revoked) = (Flag(), Flag(), Flag())
        let gate = DispatchSemaphore(value: 0)
        try await withThrowingTaskGroup(of: Void.self) { group in
            defer { gate.signal() }
            group.addTask {
                await onThreadThatMayBeHeld {
                    let attempts = broker.subscribe(bob, to: [request]).map { ($0, hasSucceeded: true) }
                    broker.settle(bob, attempts) { objections in
                        #expect(objections == [nil])
                        answering.raise()
                        gate.wait()
                        answered.raise()
                    }
                }
            }
            try await eventually { answering.isRaised }
            group.addTask {
                _ = await broker.revoke(chain.cids[0], in: space)
                #expect(answered.isRaised)
                revoked.raise()
            }
            try await eventually { !broker.isSubscribed(bob, to: space) }
            for _ in 0..<100 { await Task.yield() }
            #expect(!revoked.isRaised)
            gate.signal()
            try await group.waitForAll()
        }
        #expect(revoked.isRaised)
    }

    @Test("C3: an attempt that was revoked before it is settled is refused and leaves nobody subscribed")
    func revokedUnsettled() async throws {
        let parts = Parts()
        let bob = parts.register()
        let chain = try VerifiedDelegation.fixture("bob", over: self.space)
        let request = Broker.Request(space: self.space, delegation: chain, mark: parts.log.mark)
        let attempts = parts.broker.subscribe(bob, to: [request]).map { ($0, hasSucceeded: true) }
        #expect(parts.broker.isSubscribed(bob, to: self.space))
        #expect(await parts.broker.revoke(chain.cids[0], in: self.space).count == 1)
        parts.broker.settle(bob, attempts) { #expect($0 == [.refused(.delegation(.revoked))]) }
        #expect(!parts.broker.isSubscribed(bob, to: self.space))
    }

    @Test(
        "C3: whatever runs beside it, nothing is offered to a revoked connection once the revocation has returned",
        arguments: 0..<20)
    func stress(seed: Int) async throws {
        let parts = Parts()
        let (broker, log, frame, space) = (parts.broker, parts.log, self.frame, self.space)
        let chain = try VerifiedDelegation.fixture("bob", over: space)
        let (inStore, returned, late) = (Flag(), Flag(), Flag())
        let members = (0..<4).map { _ in
            parts.register(ProbeConnection { _ in if returned.isRaised { late.raise() } })
        }
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<2 {
                group.addTask {
                    for _ in 0..<300 {
                        broker.publish(frame, to: space, except: nil)
                        await Task.yield()
                    }
                }
            }
            for member in members {
                group.addTask {
                    for _ in 0..<30 {
                        let mark = log.mark
                        await Task.yield()
                        let isRevoked = inStore.isRaised
                        await Task.yield()
                        guard !isRevoked else { return }
                        broker.accept(.init(space: space, delegation: chain, mark: mark), of: member)
                    }
                }
            }
            group.addTask {
                for _ in 0..<(seed * 3) { await Task.yield() }
                inStore.raise()
                await Task.yield()
                _ = await broker.revoke(chain.cids[0], in: space)
                returned.raise()
            }
        }
        #expect(!late.isRaised)
        for member in members { #expect(!broker.isSubscribed(member, to: space)) }
    }

    @Test("C4: nobody hears a broadcast after the second of expiry, timer or not; the end is reported once")
    func expired() throws {
        let parts = Parts()
        let bob = parts.register()
        let expiry = UInt64(parts.time.value) + 10
        #expect(parts.subscribe(bob, on: try .fixture("bob", over: self.space, expiresAt: expiry)) == nil)
        #expect(parts.broker.nextExpiry == expiry)
        parts.time.advance(by: 10.9)
        #expect(parts.broker.publish(self.frame, to: self.space, except: nil) == 1)
        #expect(parts.broker.takeExpired().isEmpty)
        parts.time.advance(by: 0.2)
        #expect(parts.broker.publish(self.frame, to: self.space, except: nil) == 0)
        #expect(!parts.broker.isSubscribed(bob, to: self.space))
        #expect(parts.broker.takeExpired().map(\.subscriber.id) == [bob])
        #expect(parts.broker.takeExpired().isEmpty)
        #expect(parts.broker.nextExpiry == nil)
    }
}

/// Goes up and stays up.
private final class Flag: Sendable {
    private let state = Mutex(false)

    var isRaised: Bool { self.state.withLock { $0 } }

    func raise() { self.state.withLock { $0 = true } }
}

/// Runs `body` on a thread of its own: those of the global queues are taken from the cooperative pool. What the broker calls back into does not wait, so that only a semaphore, and a
/// thread that it holds, can keep a call of the broker under way for as long as a test wants.
private func onThreadThatMayBeHeld(_ body: @escaping @Sendable () -> Void) async {
    await withCheckedContinuation { done in
        Thread.detachNewThread {
            body()
            done.resume()
        }
    }
}
