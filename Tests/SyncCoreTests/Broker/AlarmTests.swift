import SyncTesting
import Testing

@testable import SyncCore

@Suite("Alarm", .timeLimit(.minutes(1)))
struct AlarmTests {
    @Test("Sleeps until the time has passed")
    func time() async {
        let (alarm, clock) = (Alarm(), TestClock())
        async let slept: Void = alarm.sleep(atMost: .seconds(5), on: clock)
        await clock.waitForSleeper(of: .seconds(5))
        clock.advance(by: .seconds(5))
        await slept
    }

    @Test("Sleeps until somebody rings; a ring before counts once")
    func ring() async {
        let (alarm, clock) = (Alarm(), TestClock())
        async let slept: Void = alarm.sleep(atMost: .seconds(5), on: clock)
        await clock.waitForSleepers(1)
        alarm.ring()
        await slept
        alarm.ring()
        alarm.ring()
        await alarm.sleep(atMost: .seconds(5), on: clock)
        async let again: Void = alarm.sleep(atMost: .seconds(6), on: clock)
        await clock.waitForSleeper(of: .seconds(6))
        clock.advance(by: .seconds(6))
        await again
    }

    @Test("Ends with its task")
    func cancelled() async {
        let (alarm, clock) = (Alarm(), TestClock())
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await alarm.sleep(atMost: .seconds(5), on: clock) }
            await clock.waitForSleepers(1)
            group.cancelAll()
        }
    }
}
