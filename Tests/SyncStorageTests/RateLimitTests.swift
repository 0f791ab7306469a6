import FoundationEssentials
import SyncStorage
import SyncTesting
import Testing

@Suite("Rate-limited actions", .timeLimit(.minutes(5)))
struct RateLimitTests {
    private let actor = String(repeating: "a", count: 64)
    private let other = String(repeating: "b", count: 64)

    private var now: Int64 { Int64(Date().timeIntervalSince1970 * 1_000_000) }
    private static let minute: Int64 = 60 * 1_000_000

    @Test("RL2: actions are counted for each actor, until they are removed", arguments: TestBackend.available)
    func count(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let since = self.now - Self.minute
            #expect(try await storage.countRecentActions("invitation", by: self.actor, since: since) == 0)
            for _ in 1...2 { try await storage.recordAction("invitation", by: self.actor) }
            #expect(try await storage.countRecentActions("invitation", by: self.actor, since: since) == 2)
            #expect(try await storage.countRecentActions("invitation", by: self.other, since: since) == 0)
            #expect(try await storage.cleanUpActions(before: self.now + Self.minute, limit: 100) == 2)
            #expect(try await storage.countRecentActions("invitation", by: self.actor, since: since) == 0)
        }
    }

    @Test("RL3: each action is counted by itself", arguments: TestBackend.available)
    func actions(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            let since = self.now - Self.minute
            try await storage.recordAction("invitation", by: self.actor)
            #expect(try await storage.countRecentActions("membership_append", by: self.actor, since: since) == 0)
            try await storage.recordAction("membership_append", by: self.actor)
            try await storage.recordAction("membership_append", by: self.actor)
            #expect(try await storage.countRecentActions("membership_append", by: self.actor, since: since) == 2)
            #expect(try await storage.countRecentActions("invitation", by: self.actor, since: since) == 1)
        }
    }

    @Test("RL4: nothing was done since the future", arguments: TestBackend.available)
    func future(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            try await test.storage.recordAction("invitation", by: self.actor)
            let since = self.now + Self.minute
            #expect(try await test.storage.countRecentActions("invitation", by: self.actor, since: since) == 0)
        }
    }

    @Test("What is counted is strictly younger, what is removed strictly older", arguments: TestBackend.available)
    func bounds(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            // A whole second, which every way of writing a time keeps.
            let moment = self.now / 1_000_000 * 1_000_000 - Self.minute
            try await storage.recordAction("invitation", by: self.actor)
            try await test.execute("UPDATE rate_limit_actions SET created_at = $1", [.moment(moment)])
            #expect(try await storage.countRecentActions("invitation", by: self.actor, since: moment) == 0)
            #expect(try await storage.countRecentActions("invitation", by: self.actor, since: moment - 1) == 1)
            #expect(try await storage.cleanUpActions(before: moment, limit: 100) == 0)
            #expect(try await storage.cleanUpActions(before: moment + 1, limit: 100) == 1)
        }
    }

    @Test("OJ3: clean-up is bounded and leaves what is in the window", arguments: TestBackend.available)
    func bounded(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            for _ in 1...5 { try await storage.recordAction("invitation", by: self.actor) }
            try await test.execute(
                "UPDATE rate_limit_actions SET created_at = $1", [.moment(self.now - 61 * Self.minute)])
            for _ in 1...3 { try await storage.recordAction("invitation", by: self.actor) }
            let before = self.now - 60 * Self.minute
            #expect(try await storage.cleanUpActions(before: before, limit: 3) == 3)
            #expect(try await storage.cleanUpActions(before: before, limit: 3) == 2)
            #expect(try await storage.cleanUpActions(before: before, limit: 3) == 0)
            #expect(try await storage.countRecentActions("invitation", by: self.actor, since: before) == 3)
        }
    }

    @Test("Clean-ups that run at once remove everything once", arguments: TestBackend.available)
    func cleanUpsAtOnce(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            let storage = test.storage
            for _ in 1...40 { try await storage.recordAction("invitation", by: self.actor) }
            let before = self.now + Self.minute
            let removed = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<6 { group.addTask { try await storage.cleanUpActions(before: before, limit: 20) } }
                return try await group.reduce(0, +)
            }
            let rest = try await storage.cleanUpActions(before: before, limit: 100)
            #expect(removed + rest == 40)
        }
    }

    @Test("Names that are too long are database errors", arguments: TestBackend.available)
    func tooLong(on backend: TestBackend) async throws {
        try await backend.withStorage { test in
            for (action, actor) in [
                (String(repeating: "x", count: 33), self.actor), ("invitation", self.actor + "a"),
            ] {
                do {
                    try await test.storage.recordAction(action, by: actor)
                    Issue.record("The action was recorded.")
                } catch StorageError.database(let detail) {
                    #expect(!detail.contains(actor))
                }
            }
            try await test.storage.recordAction(String(repeating: "x", count: 32), by: self.actor)
        }
    }
}
