import SyncTesting
import Synchronization
import Testing

@testable import SyncServer

@Suite("Health probe", .timeLimit(.minutes(5)))
struct HealthProbeTests {
    @Test("Δ-H2: a database that does not answer is unavailable after 5 s")
    func timeout() async {
        let clock = TestClock()
        let probe = HealthProbe(timeout: .seconds(5), clock: clock) { try await Task.sleep(for: .seconds(600)) }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await probe.run() }
            async let isAlive = probe.check()
            await clock.waitForSleepers(1)
            clock.advance(by: .seconds(5))
            #expect(await isAlive == false)
            group.cancelAll()
        }
    }

    @Test("many callers share one question to the database")
    func shared() async {
        let pings = Atomic(0)
        let probe = HealthProbe(timeout: .seconds(60), clock: ContinuousClock()) {
            pings.add(1, ordering: .relaxed)
            for _ in 0..<100 { await Task.yield() }
        }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await probe.run() }
            let alive = await withTaskGroup(of: Bool.self, returning: Int.self) { callers in
                for _ in 0..<500 { callers.addTask { await probe.check() } }
                return await callers.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(alive == 500)
            #expect(pings.load(ordering: .relaxed) < 500)
            group.cancelAll()
        }
    }

    @Test("after its end nobody waits")
    func ended() async {
        let probe = HealthProbe(timeout: .seconds(60), clock: ContinuousClock()) {}
        let checking = Task { await probe.check() }
        checking.cancel()
        #expect(await checking.value == false)
    }
}
