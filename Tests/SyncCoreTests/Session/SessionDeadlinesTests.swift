import SyncProtocol
import Testing

@testable import SyncCore

@Suite("Deadlines of a connection")
struct SessionDeadlinesTests {
    private func deadlines(enforcing: Bool = false) -> SessionDeadlines {
        SessionDeadlines(lifetimeEnd: .seconds(3_600), grace: .seconds(10), enforcesTokenExpiry: enforcing)
    }

    @Test("W-58: nothing before the end of the lifetime, then requests in progress have their grace, then the end")
    func lifetime() {
        var deadlines = self.deadlines()
        #expect(deadlines.next(at: .zero, tokenExpiry: nil, unixTime: 0) == .seconds(3_600))
        #expect(deadlines.action(at: .seconds(3_599), tokenExpiry: nil, unixTime: 0) == .none)
        #expect(deadlines.next(at: .seconds(3_599), tokenExpiry: nil, unixTime: 0) == .seconds(1))
        #expect(deadlines.action(at: .seconds(3_601), tokenExpiry: nil, unixTime: 0) == .drain(.lifetimeReached))
        #expect(deadlines.next(at: .seconds(3_601), tokenExpiry: nil, unixTime: 0) == .seconds(10))
        #expect(deadlines.action(at: .seconds(3_610), tokenExpiry: nil, unixTime: 0) == .none)
        #expect(deadlines.action(at: .seconds(3_611), tokenExpiry: nil, unixTime: 0) == .close(.lifetimeReached))
        #expect(deadlines.next(at: .seconds(3_700), tokenExpiry: nil, unixTime: 0) == .zero)
    }

    @Test("wire §14: without enforcement a token has no deadline")
    func unenforced() {
        var deadlines = self.deadlines()
        #expect(deadlines.action(at: .zero, tokenExpiry: 1, unixTime: 1_000) == .none)
        #expect(deadlines.next(at: .zero, tokenExpiry: 1, unixTime: 1_000) == .seconds(3_600))
    }

    @Test("W-65, C30: the end of a token has a minute of leeway; it is looked at once a minute, for it may be replaced")
    func token() {
        var deadlines = self.deadlines(enforcing: true)
        #expect(deadlines.next(at: .zero, tokenExpiry: nil, unixTime: 0) == .seconds(60))
        #expect(deadlines.next(at: .zero, tokenExpiry: 1_000, unixTime: 0) == .seconds(60))
        #expect(deadlines.next(at: .zero, tokenExpiry: 1_000, unixTime: 1_030) == .seconds(30))
        #expect(deadlines.action(at: .seconds(1), tokenExpiry: 1_000, unixTime: 1_059) == .none)
        #expect(deadlines.action(at: .seconds(2), tokenExpiry: 1_000, unixTime: 1_060) == .drain(.tokenExpired))
        // It is too late for another token.
        #expect(deadlines.action(at: .seconds(12), tokenExpiry: nil, unixTime: 0) == .close(.tokenExpired))
    }

    @Test("W-65: the lifetime ends a connection whose token is good")
    func both() {
        var deadlines = self.deadlines(enforcing: true)
        #expect(deadlines.next(at: .seconds(3_590), tokenExpiry: 9_000, unixTime: 0) == .seconds(10))
        #expect(deadlines.action(at: .seconds(3_600), tokenExpiry: 9_000, unixTime: 0) == .drain(.lifetimeReached))
    }
}
