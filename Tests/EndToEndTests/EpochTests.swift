import NIOCore
import SyncAuth
import SyncClient
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

/// Key rotation, as devices see it.
@Suite("Epochs with the client", .timeLimit(.minutes(2)))
struct EpochTests {
    private let user = Principal.fixture("alice", scopes: ["sync", "files"])

    /// A server whose database has a file of the first record, in a space of this user with 30 records at cursor 1.
    private func withServer(
        on backend: TestBackend, _ body: (InProcessServer.Running, SpaceID, FileID) async throws -> Void
    ) async throws {
        let space = try #require(self.user.personalSpace)
        let file = NewFile(
            space: space, id: .random(), recordID: .fixture(1), size: 5, wrappedDEK: .wrappedDEK(epoch: 1))
        try await TestDatabaseURL.with(backend) { database in
            try await database.prepare { storage in
                _ = try await storage.storage.getOrCreateSpace(space, clientID: self.user.clientID)
                _ = try await storage.storage.push(
                    (1...30).map { .fixture($0, dek: .wrappedDEK(epoch: 1)) }, to: space)
                _ = try await storage.storage.recordFile(file)
            }
            try await InProcessServer(database).run { try await body($0, space, file.id) }
        }
    }

    /// What `dek` is wrapped as in a later epoch; a real device wraps anew.
    private func rewrapped(_ epoch: UInt32) -> ByteBuffer { .wrappedDEK(epoch: epoch, fill: UInt8(epoch)) }

    @Test(
        "EPB-1, DKG-1, DKR-7, FDG-2, EPC-1: one device rotates the keys, another one finds them rotated",
        arguments: TestBackend.available)
    func rotate(on backend: TestBackend) async throws {
        try await self.withServer(on: backend) { server, space, file in
            try await server.withClient(self.user) { rotating in
                try await server.withClient(self.user) { other in
                    #expect(try await rotating.beginEpoch(2, in: space, setsMinimum: true) == .begun(epoch: 2))
                    let conflict = EpochConflict(error: "conflict", currentEpoch: 2, rewrapEpoch: 2)
                    #expect(try await other.beginEpoch(2, in: space) == .conflict(conflict))
                    let records = try await rotating.recordDEKs(of: space)
                    #expect(records.map(\.id) == (1...30).map { .fixture($0) })
                    #expect(records.allSatisfy { $0.dek == .wrappedDEK(epoch: 1) && $0.cursor == 1 })
                    try await rotating.rewrapRecordDEKs(records.map { ($0.id, self.rewrapped(2)) }, in: space)
                    let files = try await rotating.fileDEKs(of: space)
                    #expect(files == [FileDEKEntry(id: file, dek: .wrappedDEK(epoch: 1), cursor: 2)])
                    try await rotating.rewrapFileDEKs([(file, self.rewrapped(2))], in: space)
                    try await rotating.completeEpoch(2, in: space)

                    let subscribed = try await other.subscribe([.init(id: space.wireText)]).spaces.first
                    #expect(subscribed?.keyGeneration == 2 && subscribed?.rewrapEpoch == nil && subscribed?.cursor == 2)
                    var deks: [ByteBuffer?] = []
                    try await other.pull([.init(id: space.wireText, since: 0)]) { chunk in
                        switch chunk {
                        case .record(let record): deks.append(record.dek)
                        case .file(let file): deks.append(file.dek)
                        case .begin, .membership, .commit: break
                        }
                    }
                    #expect(deks == Array(repeating: self.rewrapped(2), count: 31))
                    #expect(try await other.recordDEKs(of: space, since: 1).isEmpty)
                }
            }
        }
    }

    @Test(
        "EPC-2, DKR-1, DKR-5, FDR-4: what the server does not take is refused in its words",
        arguments: TestBackend.available)
    func refused(on backend: TestBackend) async throws {
        try await self.withServer(on: backend) { server, space, _ in
            try await server.withClient(self.user) { client in
                await #expect(throws: SyncClientError.refused(code: "conflict", message: "epoch mismatch")) {
                    try await client.completeEpoch(2, in: space)
                }
                await #expect(
                    throws: SyncClientError.refused(
                        code: "conflict", message: "DEK epoch does not match current key generation")
                ) { try await client.rewrapRecordDEKs([(.fixture(1), self.rewrapped(2))], in: space) }
                await #expect(
                    throws: SyncClientError.refused(
                        code: "bad_request", message: "one or more DEK records were not found")
                ) { try await client.rewrapRecordDEKs([(.fixture(99), self.rewrapped(1))], in: space) }
                await #expect(
                    throws: SyncClientError.refused(
                        code: "bad_request", message: "one or more file DEK records were not found")
                ) { try await client.rewrapFileDEKs([(.random(), self.rewrapped(1))], in: space) }
            }
            let unscoped = try await server.connect(as: .fixture("alice"))
            await #expect(throws: SyncClientError.refused(code: "forbidden", message: "files scope required")) {
                try await unscoped.fileDEKs(of: space)
            }
            await unscoped.close()
        }
    }

    @Test("C1: a device of the other family is told of a conflict in a word that it knows")
    func family() async throws {
        try await self.withServer(on: .sqlite) { server, space, _ in
            let client = try await server.wire(.betterbase)
            client.send(FrameEncoder.auth(token: server.tokens.issue(self.user)))
            client.request("1", .epochBegin, EpochBeginParams(space: space.wireText, epoch: 3))
            let conflict = EpochConflict(error: "epoch_conflict", currentEpoch: 1, rewrapEpoch: nil)
            #expect(try await client.result(of: "1", as: EpochBeginResult.self) == .conflict(conflict))
            await client.close()
        }
    }

    @Test(
        "CO9: a device goes on writing while another one rotates; everything ends up under the new key",
        arguments: TestBackend.available)
    func rotateBesideWrites(on backend: TestBackend) async throws {
        try await self.withServer(on: backend) { server, space, _ in
            try await server.withClient(self.user) { rotating in
                try await server.withClient(self.user) { writing in
                    #expect(try await rotating.beginEpoch(2, in: space) == .begun(epoch: 2))
                    let new = ByteBuffer.wrappedDEK(epoch: 2, fill: 99)
                    async let written: Void = {
                        // Writes with the new key already, as a device does that has seen the rewrap epoch.
                        for number in 1...30 {
                            let result = try await writing.push(
                                PushParams(space: space.wireText, changes: [.fixture(number, "new", at: 1, dek: new)]))
                            #expect(result == .accepted(cursor: Int64(2 + number)))
                        }
                    }()
                    var since: Int64 = -1
                    while true {
                        // What was written behind the list is in the next one.
                        let deks = try await rotating.recordDEKs(of: space, since: since)
                        guard let last = deks.last else { break }
                        let stale = deks.filter { $0.dek == .wrappedDEK(epoch: 1) }
                        try await rotating.rewrapRecordDEKs(stale.map { ($0.id, self.rewrapped(2)) }, in: space)
                        since = last.cursor
                    }
                    try await written
                    try await rotating.completeEpoch(2, in: space)
                    let deks = try await rotating.recordDEKs(of: space)
                    #expect(deks.count == 30 && deks.allSatisfy { $0.dek == new || $0.dek == self.rewrapped(2) })
                }
            }
        }
    }
}
