import Testing

@testable import SyncServer

@Suite("Admission control")
struct AdmissionControlTests {
    @Test("unauthenticated connections have a limit of their own")
    func unauthenticated() throws {
        let control = AdmissionControl(connectionsMax: 3, unauthenticatedMax: 2)
        let first = try #require(control.admit())
        var second = control.admit()
        #expect(second != nil && control.admit() == nil)
        first.markAuthenticated()
        first.markAuthenticated()
        #expect(control.counts == .init(connections: 2, unauthenticated: 1))
        let third = try #require(control.admit())
        third.markAuthenticated()
        second?.markAuthenticated()
        #expect(control.admit() == nil)
        second = nil
        #expect(control.counts == .init(connections: 2, unauthenticated: 0))
        #expect(control.admit() != nil)
        #expect(control.counts == .init(connections: 2, unauthenticated: 0))
        third.release()
        third.release()
        third.markAuthenticated()
        #expect(control.counts == .init(connections: 1, unauthenticated: 0))
        first.release()
        #expect(control.counts == .init())
    }
}
