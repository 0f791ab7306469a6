import SyncProtocol
import Testing

@testable import SyncStoragePostgres

@Suite("Announcements of changes")
struct ChangeAnnouncementTests {
    @Test("What is told is heard, in payloads that PostgreSQL takes", arguments: [1, 2, 140, 141, 1_000])
    func roundTrip(spaces: Int) throws {
        var cursors: [SpaceID: Int64] = [:]
        for number in 0..<spaces { cursors[number == 0 ? SpaceID(bits: 7) : .random()] = .max - Int64(number) }
        let payloads = ChangeAnnouncement.payloads(from: .max, cursors)
        #expect(payloads.count == (spaces + 139) / 140)
        var heard: [SpaceID: Int64] = [:]
        for payload in payloads {
            #expect(payload.utf8.count < 8_000)
            let announcement = try #require(ChangeAnnouncement(payload: payload))
            #expect(announcement.origin == .max)
            heard.merge(announcement.cursors) { $1 }
        }
        #expect(heard == cursors)
    }

    @Test("No cursors: anything may have changed")
    func everything() throws {
        let payload = try #require(ChangeAnnouncement.payloads(from: 10, [:]).first)
        #expect(payload == "a *")
        let announcement = try #require(ChangeAnnouncement(payload: payload))
        #expect(announcement.origin == 10 && announcement.cursors.isEmpty)
    }

    @Test(
        "What no server has sent is not understood",
        arguments: [
            "", "a", "x *", "a * *", "a 00000000000000000000000000000007", "a 7 1", "a **",
            "a 00000000000000000000000000000007 0", "a 00000000000000000000000000000007 x",
            "a 00000000000000000000000000000007 1 ", "a  00000000000000000000000000000007 1",
            "a 0000000000000000000000000000000g 1", "a 00000000000000000000000000000007 1 2",
        ])
    func malformed(payload: String) { #expect(ChangeAnnouncement(payload: payload) == nil) }
}
