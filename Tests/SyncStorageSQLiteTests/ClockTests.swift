import FoundationEssentials
import SyncStorage
import SyncTesting
import Synchronization
import Testing

@testable import SyncStorageSQLite

@Suite("SQLite's clock", .timeLimit(.minutes(5)))
struct ClockTests {
    /// Seconds since 1970, as the test says.
    private final class Time: Sendable {
        private let seconds = Mutex(1_700_000_000.0)

        var date: Date { Date(timeIntervalSince1970: self.seconds.withLock { $0 }) }
        var microseconds: Int64 { Int64(self.seconds.withLock { $0 } * 1_000_000) }

        func advance(bySeconds seconds: Double) { self.seconds.withLock { $0 += seconds } }
    }

    private func with(_ body: (any Storage, Time) async throws -> Void) async throws {
        let time = Time()
        try await withTemporaryDirectory { directory in
            var configuration = SQLiteConfiguration(path: directory + "/test.db", synchronous: .normal, readers: 4)
            configuration.now = { time.date }
            try await SQLiteTestStorage.with(configuration) { test in try await body(test.storage, time) }
        }
    }

    @Test("SQ6: an invitation expires by the clock that was passed in")
    func expiry() async throws {
        try await self.with { storage, time in
            let created = try await storage.createInvitation(in: "mailbox", payload: "x")
            #expect(created.createdAt == 1_700_000_000_000_000)
            #expect(created.expiresAt == 1_700_000_000_000_000 + 604_800_000_000)
            time.advance(bySeconds: 604_799)
            #expect(try await storage.invitation(created.id, in: "mailbox") == created)
            #expect(try await storage.purgeExpiredInvitations(limit: 10) == 0)
            // At its very end it is expired, and purged only after it.
            time.advance(bySeconds: 1)
            await #expect(throws: StorageError.invitationNotFound) {
                try await storage.invitation(created.id, in: "mailbox")
            }
            #expect(try await storage.invitations(in: "mailbox", after: nil, limit: 10, bytesMax: 1_000) == [])
            #expect(try await storage.purgeExpiredInvitations(limit: 10) == 0)
            time.advance(bySeconds: 1)
            #expect(try await storage.purgeExpiredInvitations(limit: 10) == 1)
        }
    }

    @Test("SQ6: actions are recorded by the clock that was passed in")
    func window() async throws {
        try await self.with { storage, time in
            let start = time.microseconds
            try await storage.recordAction("invitation", by: "actor")
            #expect(try await storage.countRecentActions("invitation", by: "actor", since: start - 1) == 1)
            #expect(try await storage.countRecentActions("invitation", by: "actor", since: start) == 0)
            time.advance(bySeconds: 10)
            try await storage.recordAction("invitation", by: "actor")
            #expect(try await storage.countRecentActions("invitation", by: "actor", since: start) == 1)
            #expect(try await storage.cleanUpActions(before: time.microseconds, limit: 10) == 1)
        }
    }
}
