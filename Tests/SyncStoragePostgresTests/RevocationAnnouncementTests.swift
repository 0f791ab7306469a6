import SyncProtocol
import Testing

@testable import SyncStoragePostgres

@Suite("Announcements of revocations")
struct RevocationAnnouncementTests {
    @Test(
        "What is told is heard, in a payload that PostgreSQL takes",
        arguments: [
            String(repeating: "ab", count: 32), "any text at all", "", " ", " ! ", "é\n😀",
            String(repeating: "x", count: 1_000),
        ])
    func roundTrip(cid: String) throws {
        for space in [SpaceID(bits: 7), .random()] {
            let announcement = RevocationAnnouncement(origin: .max, space: space, cid: cid)
            #expect(announcement.cid == cid)
            #expect(announcement.payload.utf8.count < 8_000)
            #expect(RevocationAnnouncement(payload: announcement.payload) == announcement)
            #expect(ChangeAnnouncement(payload: announcement.payload) == nil)
        }
    }

    @Test("A text that can be no token's is told as none")
    func tooLong() {
        let announcement = RevocationAnnouncement(
            origin: 10, space: SpaceID(bits: 7), cid: String(repeating: "x", count: 1_001))
        #expect(announcement.payload == "a ! 00000000000000000000000000000007 ")
    }

    @Test(
        "What no server has sent is not understood",
        arguments: [
            "", "a !", "a ! 00000000000000000000000000000007", "x ! 00000000000000000000000000000007 cid",
            "a ! 7 cid", "a * 00000000000000000000000000000007 cid", "a ! 0000000000000000000000000000000g cid",
            "a *", "a 00000000000000000000000000000007 1",
        ])
    func malformed(payload: String) { #expect(RevocationAnnouncement(payload: payload) == nil) }
}
