import Logging
import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncStoragePostgres

@Suite("PostgreSQL away and back", .timeLimit(.minutes(3)))
struct OutageTests {
    @Test("Calls fail while PostgreSQL is away and succeed when it is back, without a restart")
    func awayAndBack() async throws {
        let server = try await PostgresServer.start()
        let log = LogRecorder()
        let storage = try await PostgresStorage.open(
            PostgresConfiguration(url: server.url, poolSize: 4), logger: log.logger)
        let space = try await storage.createSpace(.random(), clientID: "client", rootPublicKey: nil).id
        #expect(try await storage.push([.fixture(1)], to: space).cursor == 1)

        // One push is in the middle of its transaction, a pull in the middle of its rows: more than the sockets hold.
        _ = try await storage.push((100..<400).map { .fixture($0, String(repeating: "x", count: 60_000)) }, to: space)
        let console = try await PostgresConsole(url: server.url)
        try await console.execute("BEGIN")
        try await console.execute("SELECT FROM spaces WHERE id = $1 FOR UPDATE", [.uuid(space.rawValue)])
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                await #expect(throws: StorageError.unavailable) { _ = try await storage.push([.fixture(2)], to: space) }
            }
            try await eventually("the push waits for its lock") { storage.statistics.pushesQueued > 0 }
            await #expect(throws: StorageError.unavailable) {
                try await storage.withPull(of: space, since: 0) { snapshot in
                    _ = try await snapshot.nextPage()
                    await server.crash()
                    while try await snapshot.nextPage() != nil {}
                }
            }
            try await group.waitForAll()
        }
        console.close()

        for number in 3...5 {
            await #expect(throws: StorageError.unavailable) { try await storage.ping() }
            await #expect(throws: StorageError.unavailable) {
                _ = try await storage.push([.fixture(number)], to: space)
            }
        }
        // A server that starts while PostgreSQL is away says so.
        await #expect(throws: StorageError.unavailable) {
            _ = try await PostgresStorage.open(
                PostgresConfiguration(url: server.url), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        }

        try await server.resume()
        // Attempts to connect are made once in a second at least.
        try await eventually("PostgreSQL answers again") { (try? await storage.ping()) != nil }
        #expect(try await storage.space(space).cursor == 2)
        #expect(try await storage.push([.fixture(2)], to: space).cursor == 3)
        #expect(try await storage.collectPull(of: space).records.count == 302)

        // One line for the whole outage, and one for its end.
        let messages = log.messages
        #expect(messages.count { $0 == "Cannot connect to PostgreSQL" } == 1)
        #expect(messages.count { $0 == "PostgreSQL answers again" } == 1)
        await storage.close()
        await server.remove()
    }
}
