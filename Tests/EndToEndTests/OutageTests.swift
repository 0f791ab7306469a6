import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import SyncAuth
import SyncClient
import SyncProtocol
import SyncTesting
import Testing

@Suite("Database outage, end to end", .timeLimit(.minutes(2)))
struct OutageTests {
    @Test(
        "While PostgreSQL is away requests fail with internal; when it is back the server works without a restart",
        .enabled(if: PostgresServer.programs != nil, "the PostgreSQL programs are not installed"))
    func outage() async throws {
        let postgres = try await PostgresServer.start()
        let database = TestDatabaseURL(backend: .postgres, url: postgres.url)
        let user = Principal.fixture()
        let space = try #require(user.personalSpace).wireText
        try await InProcessServer(database).run { server in
            let client = try await server.connect(as: user, timeout: .seconds(60))
            #expect(try await client.push(PushParams(space: space, changes: [.fixture(1)])) == .accepted(cursor: 1))

            await postgres.crash()
            #expect(
                try await client.push(PushParams(space: space, changes: [.fixture(2)])) == .refused(.internal))
            let subscribed = try await client.subscribe([.init(id: space)])
            #expect(subscribed == SubscribeResult(spaces: [], errors: [.init(space: space, error: .internal)]))
            // A pull whose snapshot cannot be opened leaves the space out (docs/contract/rpc.md §5).
            #expect(try await client.records(of: space).isEmpty)
            #expect(try await Self.health(server) == 503)

            try await postgres.resume()
            // The same connection, the same request: what failed may be sent again.
            try await eventually("a push is accepted again", within: .seconds(30)) {
                try await client.push(PushParams(space: space, changes: [.fixture(3)])) == .accepted(cursor: 2)
            }
            #expect(try await client.records(of: space).map(\.id).contains(.fixture(3)))
            #expect(try await Self.health(server) == 200)
            await client.close()
        }
        await postgres.remove()
    }

    private static func health(_ server: InProcessServer.Running) async throws -> UInt {
        let request = HTTPClientRequest(url: "http://127.0.0.1:\(server.port)/health")
        return try await HTTPClient.shared.execute(request, timeout: .seconds(30)).status.code
    }
}
