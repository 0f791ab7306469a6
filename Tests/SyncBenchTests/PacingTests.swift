import Testing

@testable import SyncBench

@Suite("Pacing")
struct PacingTests {
    @Test("a closed loop sends at once until its end")
    func closedLoop() {
        var pacing = Pacing(start: 1_000, end: 2_000)
        #expect(pacing.next(at: 900) == .wait(until: 1_000))
        #expect(pacing.next(at: 1_000) == .send(intended: 1_000))
        #expect(pacing.next(at: 1_999) == .send(intended: 1_999))
        #expect(pacing.next(at: 2_000) == .finished)
        #expect(pacing.sent == 2)
        #expect(pacing.missed == 0)
    }

    @Test("a count ends the loop, shared by the workers without loss")
    func count() {
        let shares = (0..<3).map { worker -> Int in
            var pacing = Pacing(start: 0, end: 1_000, operationsMax: 5, worker: worker, workers: 3)
            while case .send = pacing.next(at: 1) {}
            return pacing.sent
        }
        #expect(shares == [2, 2, 1])
    }

    @Test("workers take turns at a constant rate")
    func turns() {
        // 1,000 a second of all: 1 ms between two of them, 2 ms between two of one worker.
        var first = Pacing(start: 0, end: 10_000_000, rate: 1_000, worker: 0, workers: 2)
        var second = Pacing(start: 0, end: 10_000_000, rate: 1_000, worker: 1, workers: 2)
        #expect(first.next(at: 0) == .send(intended: 0))
        #expect(first.next(at: 100) == .wait(until: 2_000_000))
        #expect(second.next(at: 0) == .wait(until: 1_000_000))
        #expect(second.next(at: 1_000_000) == .send(intended: 1_000_000))
        #expect(second.next(at: 1_000_000) == .wait(until: 3_000_000))
    }

    @Test("what a stall held up is sent at once, and counts from when it was due")
    func stall() {
        var pacing = Pacing(start: 0, end: 10_000_000, rate: 1_000)
        #expect(pacing.next(at: 0) == .send(intended: 0))
        // The answer took 3.5 ms.
        #expect(pacing.next(at: 3_500_000) == .send(intended: 1_000_000))
        #expect(pacing.next(at: 3_500_000) == .send(intended: 2_000_000))
        #expect(pacing.next(at: 3_500_000) == .send(intended: 3_000_000))
        #expect(pacing.next(at: 3_500_000) == .wait(until: 4_000_000))
    }

    @Test("the plan is completed after its end while the grace lasts; the rest is missed")
    func missed() {
        var pacing = Pacing(start: 0, end: 10_000_000, rate: 1_000)
        #expect(pacing.missed == 10)
        #expect(pacing.next(at: 10_000_000 + Pacing.graceNanoseconds - 1) == .send(intended: 0))
        #expect(pacing.next(at: 10_000_000 + Pacing.graceNanoseconds) == .finished)
        #expect(pacing.missed == 9)
        var punctual = Pacing(start: 0, end: 10_000_000, rate: 1_000)
        for number in UInt64(0)..<10 {
            #expect(punctual.next(at: number * 1_000_000) == .send(intended: number * 1_000_000))
        }
        #expect(punctual.next(at: 9_500_000) == .finished)
        #expect(punctual.missed == 0)
    }

    @Test("a count that is smaller than the plan is not missed")
    func countAndRate() {
        var pacing = Pacing(start: 0, end: 10_000_000, operationsMax: 3, rate: 1_000)
        for _ in 0..<3 { _ = pacing.next(at: 9_000_000) }
        #expect(pacing.next(at: 9_000_000) == .finished)
        #expect(pacing.missed == 0)
    }
}
