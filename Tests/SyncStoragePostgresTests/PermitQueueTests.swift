import Testing

@testable import SyncStoragePostgres

@Suite("Permits of the PostgreSQL pool")
struct PermitQueueTests {
    private let now = ContinuousClock.now

    private func queue(_ permits: Int) -> PermitQueue<String> { PermitQueue(permits: permits, waitLimit: .seconds(30)) }

    @Test("Permits are handed out while there are any, then in the order of the questions")
    func order() {
        var queue = self.queue(2)
        #expect(queue.ask("a", at: self.now) == .granted)
        #expect(queue.ask("b", at: self.now) == .granted)
        #expect(queue.ask("c", at: self.now) == .waits(1, startsTimer: self.now + .seconds(30)))
        #expect(queue.ask("d", at: self.now + .seconds(1)) == .waits(2, startsTimer: nil))
        #expect(queue.inUse == 2 && queue.waitingCount == 2)
        #expect(queue.giveBack() == "c")
        #expect(queue.giveBack() == "d")
        #expect(queue.inUse == 2 && queue.waitingCount == 0)
        #expect(queue.giveBack() == nil)
        #expect(queue.giveBack() == nil)
        #expect(queue.inUse == 0)
    }

    @Test("Who has waited 30 s gives up; one timer serves all who wait")
    func expiry() {
        var queue = self.queue(1)
        _ = queue.ask("a", at: self.now)
        #expect(queue.ask("b", at: self.now) == .waits(1, startsTimer: self.now + .seconds(30)))
        #expect(queue.ask("c", at: self.now + .seconds(10)) == .waits(2, startsTimer: nil))
        let first = queue.expire(at: self.now + .seconds(30))
        #expect(first.waiters == ["b"] && first.next == self.now + .seconds(40))
        #expect(queue.giveBack() == "c")
        // Nobody waits when the timer fires: the next who waits starts another.
        let second = queue.expire(at: self.now + .seconds(40))
        #expect(second.waiters.isEmpty && second.next == nil)
        #expect(queue.ask("d", at: self.now + .seconds(41)) == .waits(3, startsTimer: self.now + .seconds(71)))
    }

    @Test("A waiter that was served before its time leaves the timer to the next")
    func timerOutlivesWaiter() {
        var queue = self.queue(1)
        _ = queue.ask("a", at: self.now)
        _ = queue.ask("b", at: self.now)
        #expect(queue.giveBack() == "b")
        #expect(queue.ask("c", at: self.now + .seconds(5)) == .waits(2, startsTimer: nil))
        let expiry = queue.expire(at: self.now + .seconds(30))
        #expect(expiry.waiters.isEmpty && expiry.next == self.now + .seconds(35))
    }

    @Test("Who gives up is answered once and passed over, wherever it stands")
    func giveUp() {
        var queue = self.queue(1)
        for name in ["a", "b", "c", "d", "e", "f"] { _ = queue.ask(name, at: self.now) }
        #expect(queue.giveUp(2) == "c")
        #expect(queue.giveUp(2) == nil)
        #expect(queue.giveUp(5) == "f")
        #expect(queue.giveUp(6) == nil && queue.giveUp(0) == nil)
        #expect(queue.giveBack() == "b")
        #expect(queue.giveUp(1) == nil)
        #expect(queue.giveUp(3) == "d")
        #expect(queue.giveBack() == "e")
        #expect(queue.giveBack() == nil)
        #expect(queue.inUse == 0)
    }

    @Test("Closing refuses those who wait and all who come; permits still come back")
    func close() {
        var queue = self.queue(1)
        _ = queue.ask("a", at: self.now)
        _ = queue.ask("b", at: self.now)
        #expect(queue.close() == ["b"])
        #expect(queue.isClosed)
        #expect(queue.ask("c", at: self.now) == .refused)
        #expect(queue.giveUp(1) == nil)
        #expect(queue.giveBack() == nil)
        #expect(queue.inUse == 0)
    }
}

@Suite("Attempts to connect to PostgreSQL")
struct ConnectBackoffTests {
    private let start = ContinuousClock.now

    @Test(
        "While the database cannot be reached one attempt is made at a time, ever more rarely, once in a second at least"
    )
    func pauses() {
        var backoff = ConnectBackoff()
        var now = self.start
        var attempt = backoff.attempt(at: now)
        var pauses: [Duration] = []
        for _ in 0..<8 {
            guard let made = attempt else { break }
            backoff.failed(made, at: now)
            let failed = now
            repeat {
                now += .milliseconds(1)
                attempt = backoff.attempt(at: now)
            } while attempt == nil
            // The attempt of the first caller is in progress.
            #expect(backoff.attempt(at: now) == nil)
            pauses.append(failed.duration(to: now))
        }
        #expect(pauses == [50, 100, 200, 400, 800, 1_000, 1_000, 1_000].map { .milliseconds($0) })
    }

    @Test("Attempts that fail together count once; one that succeeds lets everybody try again")
    func together() {
        var backoff = ConnectBackoff()
        let attempts = (0..<10).compactMap { _ in backoff.attempt(at: self.start) }
        #expect(attempts.count == 10)
        for attempt in attempts { backoff.failed(attempt, at: self.start) }
        #expect(backoff.attempt(at: self.start + .milliseconds(49)) == nil)
        #expect(backoff.attempt(at: self.start + .milliseconds(50)) != nil)
        backoff.succeeded()
        #expect(backoff.attempt(at: self.start + .milliseconds(50)) != nil)
        #expect(backoff.attempt(at: self.start + .milliseconds(50)) != nil)
    }
}
