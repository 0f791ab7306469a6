import SyncTesting
import Testing

@Suite("Sharing, end to end", .timeLimit(.minutes(10)))
struct SharingInterleavingTests {
    @Test(
        "200 interleavings of append, revoke, push and subscribe by 8 clients: nobody hears anything without authority",
        arguments: TestBackend.available)
    func interleavings(on backend: TestBackend) async throws {
        try await backend.withServer { server in
            var extent = SharingHistory.Extent()
            for seed in 1...200 as ClosedRange<UInt64> {
                extent = extent + (try await SharingSchedule.run(seed: seed, on: server))
            }
            #expect(extent.revocations > 200)
            #expect(extent.refusals > 200)
            #expect(extent.heard > 4_000)
            #expect(extent.mustBeHeard > 2_000)
        }
    }
}
