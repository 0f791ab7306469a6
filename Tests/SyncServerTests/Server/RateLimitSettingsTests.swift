import SyncCore
import Testing

@testable import SyncServer

@Suite("Rate limits of a server")
struct RateLimitSettingsTests {
    private func limits(_ change: (inout ServerConfiguration) -> Void) -> RateLimits? {
        var configuration = ServerConfiguration()
        configuration.identityHashKey = Secret(Array(repeating: 7, count: 32))
        configuration.invitationsPerHour = 3
        configuration.membershipAppendsPerHour = 0
        change(&configuration)
        return Server.Parts(configuration).engine.rateLimits
    }

    @Test("operations §2.1, §2.4: with an identity hash key the configured limits hold")
    func configured() throws {
        let limits = try #require(self.limits { _ in })
        #expect(limits.invitationsPerHour == 3)
        #expect(limits.membershipAppendsPerHour == 0)
    }

    @Test("operations §2.1, §9: without a key, and in performance mode, nobody is limited")
    func lifted() {
        let withoutKey = self.limits { $0.identityHashKey = nil }
        #expect(withoutKey == nil)
        let inPerformanceMode = self.limits { $0.isPerformanceMode = true }
        #expect(inPerformanceMode == nil)
    }
}
