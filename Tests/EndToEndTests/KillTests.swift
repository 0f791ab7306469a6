import Foundation
import Glibc
import NIOCore
import SyncAuth
import SyncClient
import SyncProtocol
import SyncTesting
import Synchronization
import Testing

/// The promise that matters most: what was acknowledged is there, and nothing by halves.
@Suite("Killed, end to end", .timeLimit(.minutes(2)), .serialized)
struct KillTests {
    private static let clients = 8
    private static let recordsPerPush = 3

    /// What the clients of one space have sent and been told.
    private final class Journal: Sendable {
        struct State {
            /// Record ids of every push that was sent, by its number.
            var sent: [[RecordID]] = []
            /// Cursors of those that were acknowledged, by the same number.
            var acknowledged: [Int: Int64] = [:]
        }

        private let state = Mutex(State())

        var contents: State { self.state.withLock { $0 } }
        var acknowledgedCount: Int { self.state.withLock { $0.acknowledged.count } }

        func begin(_ ids: [RecordID]) -> Int {
            self.state.withLock { state in
                state.sent.append(ids)
                return state.sent.count - 1
            }
        }

        func acknowledge(_ number: Int, at cursor: Int64) {
            self.state.withLock { $0.acknowledged[number] = cursor }
        }
    }

    @Test(
        "kill -9 during pushes loses nothing acknowledged, shows no partial push, and leaves no gap",
        arguments: TestBackend.available)
    func kill(on backend: TestBackend) async throws {
        var random = SeededRandom(seed: 20_260)
        try await TestIssuerServer.run { issuer in
            try await TestDatabaseURL.with(backend) { database in
                // Two spaces, four clients each: commits of one space queue behind each other, those of two do not have to.
                let users = [issuer.user("alice"), issuer.user("bob")]
                let journals = users.map { _ in Journal() }
                for round in 1...3 {
                    let before = journals.map(\.acknowledgedCount).reduce(0, +)
                    let killedAfter = before + Int.random(in: 20...150, using: &random)
                    let program = try Self.serve(database, issuer)
                    let url = "http://127.0.0.1:\(try await program.port())/api/v1/ws"
                    // Before the first push: on a busy machine the kill would come while some still connect.
                    var clients: [SyncClient] = []
                    for index in 0..<Self.clients {
                        clients.append(try await SyncClient.connect(to: url, token: try issuer.token(users[index % 2])))
                    }
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        for (index, client) in clients.enumerated() {
                            let user = users[index % 2]
                            let journal = journals[index % 2]
                            group.addTask { try await Self.pushUntilCut(client, user, journal) }
                        }
                        try await eventually("\(killedAfter) pushes are acknowledged") {
                            journals.map(\.acknowledgedCount).reduce(0, +) >= killedAfter
                        }
                        program.send(SIGKILL)
                        try await group.waitForAll()
                    }
                    #expect(try await program.waitUntilExit() == -SIGKILL)

                    let restarted = try Self.serve(database, issuer)
                    let port = try await restarted.port()
                    for (user, journal) in zip(users, journals) {
                        let client = try await SyncClient.connect(
                            to: "http://127.0.0.1:\(port)/api/v1/ws", token: try issuer.token(user))
                        let space = try #require(user.personalSpace).wireText
                        Self.check(try await client.contents(of: space), against: journal.contents, round: round)
                        await client.close()
                    }
                    restarted.send(SIGTERM)
                    #expect(try await restarted.waitUntilExit() == 0)
                }
            }
        }
    }

    private static func serve(_ database: TestDatabaseURL, _ issuer: TestIssuerServer) throws -> Program {
        try Program(
            ["serve", "--database-url", database.url, "--trusted-issuers", issuer.issuer],
            environment: ["LOG_FORMAT": "json", "LISTEN_ADDR": "127.0.0.1:0"])
    }

    /// One push after the other until the connection is cut.
    private static func pushUntilCut(
        _ client: SyncClient, _ user: Principal, _ journal: Journal
    ) async throws {
        let space = try #require(user.personalSpace).wireText
        while true {
            let ids = (0..<Self.recordsPerPush).map { _ in RecordID.random() }
            let number = journal.begin(ids)
            let changes = ids.map {
                PushParams.Change(
                    id: $0.wireText, blob: ByteBuffer(string: $0.wireText), expectedCursor: 0, dek: nil)
            }
            guard let cursor = try await Self.push(PushParams(space: space, changes: changes), client) else { break }
            journal.acknowledge(number, at: cursor)
        }
        await client.close()
    }

    /// - Returns: `nil` when the connection was cut before an answer came.
    private static func push(_ params: PushParams, _ client: SyncClient) async throws -> Int64? {
        do {
            switch try await client.push(params) {
            case .accepted(let cursor): return cursor
            case .refused(let code): throw SyncClientError.refused(code: code.rawValue, message: "new records")
            }
        } catch SyncClientError.disconnected {
            return nil
        }
    }

    private static func check(_ contents: SpaceContents, against journal: Journal.State, round: Int) {
        let cursors = Dictionary(contents.records.map { ($0.id, $0.cursor) }, uniquingKeysWith: { first, _ in first })
        #expect(cursors.count == contents.records.count)
        #expect(contents.records.allSatisfy { $0.blob == ByteBuffer(string: $0.id.wireText) })
        var known = 0
        for (number, ids) in journal.sent.enumerated() {
            let found = ids.compactMap { cursors[$0] }
            #expect(found.isEmpty || found.count == ids.count, "round \(round): part of push \(number)")
            #expect(Set(found).count <= 1, "round \(round): push \(number) at several cursors")
            if let cursor = journal.acknowledged[number] {
                #expect(found.first == cursor, "round \(round): acknowledged push \(number)")
            }
            known += found.count
        }
        #expect(known == contents.records.count, "round \(round): records that nobody sent")
        // Each push is one cursor, and all of them are there.
        #expect(Set(cursors.values).sorted() == (0..<contents.cursor).map { $0 + 1 }, "round \(round)")
    }
}

/// A space as one pull shows it.
private struct SpaceContents {
    var cursor: Int64 = 0
    var records: [RecordEntry] = []
}

extension SyncClient {
    fileprivate func contents(of space: String) async throws -> SpaceContents {
        var contents = SpaceContents()
        try await self.pull([.init(id: space, since: 0)]) { chunk in
            switch chunk {
            case .begin(let begin): contents.cursor = begin.cursor
            case .record(let record): contents.records.append(record)
            case .commit, .membership, .file: break
            }
        }
        return contents
    }
}
