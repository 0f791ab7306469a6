import Testing

@testable import SyncBench

@Suite("End of a fan-out run")
struct DrainWaitTests {
    private func at(_ seconds: Double) -> UInt64 { UInt64((100 + seconds) * 1e9) }

    private func wait() -> DrainWait { DrainWait(outstanding: 1_000, timeout: .seconds(30), at: at(0)) }

    @Test("notifications are waited for as long as some come")
    func slow() {
        var wait = self.wait()
        for second in 1...59 {
            let outcome = wait.next(outstanding: 1_000 - second, at: at(Double(second)))
            #expect(outcome == .goOn)
        }
        let complete = wait.next(outstanding: 0, at: at(59.5))
        #expect(complete == .complete)
    }

    @Test("those that come after a minute are too slow, not missing")
    func tooSlow() {
        var wait = self.wait()
        for second in 1..<60 { _ = wait.next(outstanding: 1_000 - second, at: at(Double(second))) }
        let outcome = wait.next(outstanding: 1, at: at(60))
        #expect(outcome == .tooSlow)
        #expect(outcome.failure != DrainWait.Outcome.quiet.failure)
    }

    @Test("nothing for 5 s is the end, or for the timeout of a request when that is shorter")
    func quiet() {
        var wait = self.wait()
        #expect(wait.next(outstanding: 999, at: at(4)) == .goOn)
        #expect(wait.next(outstanding: 999, at: at(8.9)) == .goOn)
        #expect(wait.next(outstanding: 999, at: at(9)) == .quiet)
        var impatient = DrainWait(outstanding: 1, timeout: .seconds(1), at: at(0))
        #expect(impatient.next(outstanding: 1, at: at(1)) == .quiet)
    }

    @Test("a notification that was left out is lost until it comes, and not waited for")
    func lost() {
        let space = FanoutSpace(subscribers: 2, window: nil)
        for _ in 0..<3 { space.publishing() }
        #expect(space.outstanding == 6 && space.lostCount == 0)
        for _ in 0..<2 { space.deliveredOne() }
        space.leftOut(2)
        #expect(space.outstanding == 2 && space.lostCount == 2)
        space.leftOut(-1)
        space.deliveredOne()
        #expect(space.outstanding == 2 && space.lostCount == 1)
    }
}
