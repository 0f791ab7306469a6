import Logging
import MetricsTestKit
import NIOCore
import SyncAuth
import SyncProtocol
import SyncTesting
import Synchronization
import Testing

@testable import SyncCore

@Suite("Invitation notifier", .timeLimit(.minutes(5)))
struct InvitationNotifierTests {
    private let clock = TestClock()
    private let broker = Broker(
        connectionsPerMailboxMax: nil, metrics: CoreMetrics(factory: TestMetrics()),
        logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
    private let frame = FrameEncoder.notification(method: .invitation, params: EmptyMap())

    private func connection(_ mailbox: String) -> MemoryConnection {
        let connection = MemoryConnection()
        var principal = Principal.fixture()
        principal.mailboxID = mailbox
        _ = self.broker.register(
            Subscriber(id: .random(), connection: connection, mailbox: MailboxKey(principal)))
        return connection
    }

    @Test("INC-12: each connection that the mailbox has by then is told once, after the delay and not before")
    func delayed() async {
        let notifier = InvitationNotifier(broker: self.broker, clock: self.clock, delay: { .milliseconds(1_500) })
        let first = self.connection("a")
        let other = self.connection("b")
        let jobs = Task { await notifier.run() }
        #expect(notifier.schedule("a"))
        await self.clock.waitForSleeper(of: .milliseconds(1_500))
        self.clock.advance(by: .milliseconds(1_499))
        let second = self.connection("a")
        #expect(first.unreadFrames == 0)
        self.clock.advance(by: .milliseconds(1))
        #expect(await first.next() == .frame(self.frame))
        #expect(await second.next() == .frame(self.frame))
        #expect(first.unreadFrames == 0)
        #expect(other.unreadFrames == 0)
        jobs.cancel()
        await jobs.value
    }

    @Test("each notification has its own delay, and the bound counts those that wait")
    func bounded() async throws {
        let delays = Mutex([3, 1, 2])
        let notifier = InvitationNotifier(
            broker: self.broker, clock: self.clock,
            delay: { .seconds(delays.withLock { $0.isEmpty ? 4 : $0.removeFirst() }) }, pendingMax: 3)
        let mailboxes = ["a", "b", "c"].map { self.connection($0) }
        for mailbox in ["a", "b", "c"] { #expect(notifier.schedule(mailbox)) }
        #expect(!notifier.schedule("a"))
        let jobs = Task { await notifier.run() }
        await self.clock.waitForSleepers(3)
        for index in [1, 2, 0] {
            self.clock.advance(by: .seconds(1))
            #expect(await mailboxes[index].next() == .frame(self.frame))
        }
        #expect(mailboxes.allSatisfy { $0.unreadFrames == 0 })
        try await eventually("there is room for a notice") { notifier.schedule("a") }
        await self.clock.waitForSleeper(of: .seconds(4))
        jobs.cancel()
        await jobs.value
        #expect(mailboxes[0].unreadFrames == 0)
    }

    @Test("rpc §14: the delay of the program is drawn from 1,000–4,999 ms")
    func range() {
        let delays = (0..<2_000).map { _ in EngineRandomness().invitationDelay() }
        #expect(delays.allSatisfy { $0 >= .milliseconds(1_000) && $0 <= .milliseconds(4_999) })
        #expect((delays.min() ?? .zero) < .milliseconds(1_200))
        #expect((delays.max() ?? .zero) > .milliseconds(4_800))
    }
}
