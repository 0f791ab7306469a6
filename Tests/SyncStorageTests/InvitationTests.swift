import FoundationEssentials
import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@Suite("Invitations", .timeLimit(.minutes(5)))
struct InvitationTests {
    private static let week: Int64 = 7 * 24 * 3_600 * 1_000_000
    private static let hour: Int64 = 3_600 * 1_000_000

    /// Microseconds since 1970.
    private var now: Int64 { Int64(Date().timeIntervalSince1970 * 1_000_000) }

    /// 64 random digits.
    private func mailbox() -> String {
        String((0..<64).map { _ in "0123456789abcdef".randomElement() ?? "0" })
    }

    private func list(
        _ storage: any Storage, _ mailbox: String, after: InvitationID? = nil, limit: Int = 50,
        bytesMax: Int = 1_000_000
    ) async throws -> [Invitation] {
        try await storage.invitations(in: mailbox, after: after, limit: limit, bytesMax: bytesMax)
    }

    @Test("A mailbox that no text of the database can name is empty", arguments: TestBackend.available)
    func unnameableMailbox(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let listed = try await self.list(test.storage, "a\0b")
            #expect(listed == [])
            await #expect(throws: StorageError.invitationNotFound) {
                try await test.storage.invitation(.random(), in: "a\0b")
            }
        }
    }

    @Test("IN1: an invitation is seen and deleted in its mailbox alone", arguments: TestBackend.available)
    func mailboxes(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let (own, other) = (self.mailbox(), self.mailbox())
            let created = try await storage.createInvitation(in: own, payload: "sealed 🔒")
            #expect(created.mailboxID == own && created.payload == "sealed 🔒")
            #expect(created.expiresAt > created.createdAt)
            #expect(try await self.list(storage, own) == [created])
            #expect(try await self.list(storage, other) == [])
            #expect(try await storage.invitation(created.id, in: own) == created)
            await #expect(throws: StorageError.invitationNotFound) {
                try await storage.invitation(created.id, in: other)
            }
            await #expect(throws: StorageError.invitationNotFound) {
                try await storage.deleteInvitation(created.id, in: other)
            }
            #expect(try await storage.invitation(created.id, in: own) == created)
            try await storage.deleteInvitation(created.id, in: own)
            await #expect(throws: StorageError.invitationNotFound) { try await storage.invitation(created.id, in: own) }
            await #expect(throws: StorageError.invitationNotFound) {
                try await storage.deleteInvitation(created.id, in: own)
            }
            #expect(try await self.list(storage, own) == [])
        }
    }

    @Test("IN2: an expired invitation is out of sight, and a purge removes it", arguments: TestBackend.available)
    func expired(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let mailbox = self.mailbox()
            var created: [Invitation] = []
            for number in 1...3 {
                created.append(try await storage.createInvitation(in: mailbox, payload: "\(number)"))
            }
            try await test.setExpiry(of: created[1].id, to: self.now - Self.hour)
            #expect(try await self.list(storage, mailbox) == [created[0], created[2]])
            await #expect(throws: StorageError.invitationNotFound) {
                try await storage.invitation(created[1].id, in: mailbox)
            }
            let page = try await self.list(storage, mailbox, limit: 1)
            #expect(page == [created[0]])
            #expect(try await self.list(storage, mailbox, after: page[0].id, limit: 1) == [created[2]])
            #expect(try await storage.purgeExpiredInvitations(limit: 100) == 1)
            #expect(try await self.list(storage, mailbox) == [created[0], created[2]])
            await #expect(throws: StorageError.invitationNotFound) {
                try await storage.deleteInvitation(created[1].id, in: mailbox)
            }
        }
    }

    @Test("An expired invitation can be deleted before it is purged", arguments: TestBackend.available)
    func deleteExpired(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let mailbox = self.mailbox()
            let id = try await test.storage.createInvitation(in: mailbox, payload: "x").id
            try await test.setExpiry(of: id, to: self.now - Self.hour)
            try await test.storage.deleteInvitation(id, in: mailbox)
            #expect(try await test.storage.purgeExpiredInvitations(limit: 100) == 0)
        }
    }

    @Test("IN3: behind a stranger there is nothing, and a limit of 0 is empty", arguments: TestBackend.available)
    func strangers(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let (own, other) = (self.mailbox(), self.mailbox())
            let first = try await storage.createInvitation(in: other, payload: "first")
            let second = try await storage.createInvitation(in: own, payload: "second")
            #expect(try await self.list(storage, own, after: first.id) == [])
            #expect(try await self.list(storage, own, after: .random()) == [])
            #expect(try await self.list(storage, own, after: second.id) == [])
            #expect(try await self.list(storage, own, limit: 0) == [])
            #expect(try await self.list(storage, own, limit: -1) == [])
            #expect(try await self.list(storage, own, limit: 1) == [second])
        }
    }

    @Test("IN4, IN6: id and times are the storage's, and the life is seven days", arguments: TestBackend.available)
    func lifetime(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let before = self.now
            let first = try await test.storage.createInvitation(in: self.mailbox(), payload: "")
            let second = try await test.storage.createInvitation(in: self.mailbox(), payload: "")
            #expect(first.payload == "" && first.id != second.id)
            #expect(first.id.rawValue.uuid.6 >> 4 == 4 && first.id.rawValue.uuid.8 >> 6 == 2)
            #expect(first.expiresAt - first.createdAt == Self.week)
            #expect(abs(first.createdAt - before) < 60_000_000)
        }
    }

    @Test("IN5: a page begins behind an expired invitation too", arguments: TestBackend.available)
    func afterExpired(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let mailbox = self.mailbox()
            var created: [Invitation] = []
            for number in 1...3 {
                created.append(try await test.storage.createInvitation(in: mailbox, payload: "\(number)"))
            }
            try await test.setExpiry(of: created[1].id, to: self.now - Self.hour)
            #expect(try await self.list(test.storage, mailbox, after: created[1].id) == [created[2]])
            #expect(try await self.list(test.storage, mailbox, after: created[0].id) == [created[2]])
        }
    }

    @Test("IN7: a purge with nothing expired removes nothing", arguments: TestBackend.available)
    func nothingToPurge(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            #expect(try await test.storage.purgeExpiredInvitations(limit: 100) == 0)
            let mailbox = self.mailbox()
            let created = try await test.storage.createInvitation(in: mailbox, payload: "x")
            #expect(try await test.storage.purgeExpiredInvitations(limit: 100) == 0)
            #expect(try await self.list(test.storage, mailbox) == [created])
        }
    }

    @Test("A purge is bounded and takes the longest expired first", arguments: TestBackend.available)
    func boundedPurge(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let mailbox = self.mailbox()
            for number in 1...5 {
                let id = try await test.storage.createInvitation(in: mailbox, payload: "\(number)").id
                // The latest of them has been expired for the longest time.
                try await test.setExpiry(of: id, to: self.now - Int64(number) * Self.hour)
            }
            #expect(try await test.storage.purgeExpiredInvitations(limit: 2) == 2)
            let left = try await test.execute("SELECT payload FROM invitations ORDER BY payload", [])
            #expect(left.map { $0[0].buffer.map { String(buffer: $0) } } == ["1", "2", "3"])
            #expect(try await test.storage.purgeExpiredInvitations(limit: 2) == 2)
            #expect(try await test.storage.purgeExpiredInvitations(limit: 2) == 1)
        }
    }

    @Test("Purges that run at once remove everything once", arguments: TestBackend.available)
    func purgesAtOnce(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            for number in 1...30 {
                let id = try await storage.createInvitation(in: self.mailbox(), payload: "\(number)").id
                try await test.setExpiry(of: id, to: self.now - Self.hour)
            }
            let purged = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<6 { group.addTask { try await storage.purgeExpiredInvitations(limit: 10) } }
                return try await group.reduce(0, +)
            }
            let rest = try await storage.purgeExpiredInvitations(limit: 100)
            #expect(purged + rest == 30)
        }
    }

    @Test("IN8: 500 invitations of one moment are each seen once in pages of 7", arguments: TestBackend.available)
    func pages(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let mailbox = self.mailbox()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 1...500 {
                    group.addTask { _ = try await storage.createInvitation(in: mailbox, payload: "\(number)") }
                }
                try await group.waitForAll()
            }
            // Half of them share one time, so that their ids decide.
            try await test.execute(
                "UPDATE invitations SET created_at = $1 WHERE payload < $2",
                [.moment(self.now - Self.hour), .bytes(.init(string: "3"))])
            var seen: [Invitation] = []
            while true {
                let page = try await self.list(storage, mailbox, after: seen.last?.id, limit: 7)
                #expect(page.count <= 7)
                guard !page.isEmpty else { break }
                seen += page
            }
            #expect(Set(seen.map(\.payload)) == Set((1...500).map(String.init)))
            #expect(seen.count == 500)
            let order = seen.map { ($0.createdAt, $0.id) }
            #expect(zip(order, order.dropFirst()).allSatisfy { $0 < $1 })
        }
    }

    @Test("A page ends before the invitation that would exceed its bytes", arguments: TestBackend.available)
    func bytes(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let mailbox = self.mailbox()
            for _ in 1...3 {
                _ = try await test.storage.createInvitation(in: mailbox, payload: String(repeating: "x", count: 10))
            }
            for (bytesMax, count) in [(0, 1), (9, 1), (19, 1), (20, 2), (29, 2), (30, 3)] {
                let page = try await self.list(test.storage, mailbox, bytesMax: bytesMax)
                #expect(page.count == count, "\(bytesMax) bytes")
            }
        }
    }

    @Test("A mailbox of more than 64 characters is a database error", arguments: TestBackend.available)
    func longMailbox(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let mailbox = self.mailbox() + "0"
            do {
                _ = try await test.storage.createInvitation(in: mailbox, payload: "x")
                Issue.record("The invitation was stored.")
            } catch StorageError.database(let detail) {
                #expect(!detail.contains(mailbox))
            }
            #expect(try await self.list(test.storage, mailbox) == [])
        }
    }

    @Test("Short mailboxes, blanks and quotes name what they say and nothing else", arguments: TestBackend.available)
    func oddMailboxes(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            for name in ["client", "it's", "ä", self.mailbox()] {
                let created = try await storage.createInvitation(in: name, payload: name)
                #expect(created.mailboxID == name)
                #expect(try await self.list(storage, name) == [created])
                for other in [name + " ", " " + name, name + "0", name.uppercased() + "X"] {
                    #expect(try await self.list(storage, other) == [], "\(other)")
                    await #expect(throws: StorageError.invitationNotFound) {
                        try await storage.invitation(created.id, in: other)
                    }
                    await #expect(throws: StorageError.invitationNotFound) {
                        try await storage.deleteInvitation(created.id, in: other)
                    }
                }
            }
        }
    }

    @Test("CO10: of two deletions of one invitation one succeeds", arguments: TestBackend.available)
    func deleteRace(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let mailbox = self.mailbox()
            for _ in 0..<10 {
                let id = try await storage.createInvitation(in: mailbox, payload: "x").id
                let errors = await withTaskGroup(of: StorageError?.self) { group in
                    for _ in 0..<2 {
                        group.addTask {
                            do throws(StorageError) {
                                try await storage.deleteInvitation(id, in: mailbox)
                                return nil
                            } catch {
                                return error
                            }
                        }
                    }
                    return await group.reduce(into: []) { $0.append($1) }
                }
                #expect(errors.count { $0 == nil } == 1)
                #expect(errors.contains(.invitationNotFound))
            }
        }
    }
}
