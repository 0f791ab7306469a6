import NIOCore
import SyncAuth
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncCore

/// What is the same for records and for files, and both names of the latter.
@Suite("deks and file.deks", .timeLimit(.minutes(5)))
struct DEKTests {
    private let alice = Principal.fixture("alice", scopes: ["sync", "files"])

    private static let listings: [Method] = [.deksGet, .fileDEKsGet, .deksGetFiles]
    private static let rewraps: [Method] = [.deksRewrap, .fileDEKsRewrap, .deksRewrapFiles]

    /// A file of the first record, recorded as the HTTP route does.
    private func recordFile(_ harness: EngineHarness, dek: ByteBuffer = .wrappedDEK(epoch: 1)) async throws -> FileID {
        let id = FileID.random()
        let cursor = try await harness.engine.services.spaces.recordFile(
            id, of: .fixture(1), size: 5, wrappedDEK: dek, in: try await harness.grant(alice))
        #expect(cursor != nil)
        return id
    }

    @Test(
        "DKG-1, DKG-3, DKG-4: live records with a DEK are listed, in chunks and in the result",
        arguments: TestBackend.available)
    func list(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            for number in 1...5 {
                #expect(try await client.push([.fixture(number)], to: alice.space) == .accepted(cursor: Int64(number)))
            }
            let dek = ByteBuffer.wrappedDEK(epoch: 1)
            _ = try await client.push([.fixture(6, dek: dek), .fixture(7, nil, dek: dek)], to: alice.space)
            let entry = RecordDEKEntry(id: .fixture(6), dek: dek, cursor: 6)
            let answer: (chunks: [RecordDEKEntry], result: DEKsGetResult) = try await client.deks(
                .deksGet, in: alice.space)
            #expect(answer.chunks == [entry] && answer.result == DEKsGetResult(deks: [entry], chunks: 1))
            let rest: (chunks: [RecordDEKEntry], result: DEKsGetResult) = try await client.deks(
                .deksGet, in: alice.space, since: 6)
            #expect(rest.chunks.isEmpty && rest.result == DEKsGetResult(deks: [], chunks: 0))
        }
    }

    @Test(
        "FDG-2: the files of a space are listed under both names", arguments: TestBackend.available,
        [Method.fileDEKsGet, .deksGetFiles])
    func listFiles(on backend: TestBackend, method: Method) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            for number in 1...7 { _ = try await client.push([.fixture(number)], to: alice.space) }
            let file = try await self.recordFile(harness)
            let entry = FileDEKEntry(id: file, dek: .wrappedDEK(epoch: 1), cursor: 8)
            let answer: (chunks: [FileDEKEntry], result: DEKsGetResult) = try await client.deks(
                method, in: alice.space, since: 7)
            #expect(answer.chunks == [entry] && answer.result == DEKsGetResult(deks: [entry], chunks: 1))
        }
    }

    @Test("DKG-5: more DEKs than fit into a message come as chunks alone", arguments: TestBackend.available)
    func large(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            _ = try await client.subscribe(alice.space)
            let count = 60_000
            let changes = (1...count).map { PushParams.Change.fixture($0, "", dek: .wrappedDEK(epoch: 1)) }
            try await harness.write(changes, to: alice.space)
            let id = client.request(.deksGet, DEKsGetParams(space: alice.space.wireText))
            var chunks = 0
            var isInOrder = true
            while true {
                switch try await client.next() {
                case .chunk(id: id, "deks.record", let data):
                    chunks += 1
                    let entry = try data.decode(as: RecordDEKEntry.self)
                    isInOrder = isInOrder && entry.id == .fixture(chunks) && entry.cursor == 1
                case .response(id: id, let result):
                    #expect(try result.decode() == DEKsGetResult<RecordDEKEntry>(deks: [], chunks: Int64(count)))
                    #expect(chunks == count && isInOrder)
                    return
                case let frame: throw UnexpectedFrame(description: "\(frame)")
                }
            }
        }
    }

    @Test(
        "rpc §2.6: a result that does not fit into one message names no DEK, one that does all",
        arguments: TestBackend.available)
    func boundary(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            _ = try await client.subscribe(alice.space)
            // Cursors below 24 take one byte, so that every entry is as long.
            let entry = RecordDEKEntry(id: .fixture(1), dek: .wrappedDEK(epoch: 1), cursor: 1)
            let fits = Limits.messageBytesMax / entry.encodedSize
            try await harness.write(
                (1...fits).map { .fixture($0, "", dek: .wrappedDEK(epoch: 1)) }, to: alice.space)
            var answer: (chunks: [RecordDEKEntry], result: DEKsGetResult<RecordDEKEntry>)
            answer = try await client.deks(.deksGet, in: alice.space)
            let size = DEKsGetResult(deks: answer.chunks, chunks: Int64(fits)).encodedSize
            let head = FrameEncoder.responseSize(id: "rpc-2", result: EmptyMap()) - EmptyMap().encodedSize
            #expect(answer.result.deks.isEmpty == (size + head > Limits.messageBytesMax))
            #expect(answer.result.chunks == Int64(fits))
            try await harness.write(
                (1...10).map { .fixture($0, nil, at: 1) }, to: alice.space)
            answer = try await client.deks(.deksGet, in: alice.space)
            #expect(answer.result.deks == answer.chunks && answer.result.chunks == Int64(fits - 10))
        }
    }

    @Test(
        "DKG-2, DKR-4: params that are no map, then space ids that are none", arguments: listings + rewraps,
        TestBackend.available)
    func invalid(method: Method, on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let message = try #require(method.invalidParamsMessage)
            await #expect(throws: ErrorBody(code: .invalidParams, message: message)) {
                try await client.call(method, hex: "63666f6f")
            }
            await #expect(throws: ErrorBody(code: .badRequest, message: "invalid space id")) {
                let params = DEKsRewrapParams(space: "nope", deks: [])
                _ = try await client.answer(to: client.request(method, params))
            }
        }
    }

    @Test(
        "FDG-1, FDG-3: files need their scope; a space id that is none comes first, the right to the space after",
        arguments: [Method.fileDEKsGet, .deksGetFiles, .fileDEKsRewrap, .deksRewrapFiles], TestBackend.available)
    func scope(method: Method, on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(.fixture("alice"))
            for space in [alice.space, .random()] {
                await #expect(throws: ErrorBody(code: .forbidden, message: "files scope required")) {
                    let params = DEKsRewrapParams(space: space.wireText, deks: [])
                    _ = try await client.answer(to: client.request(method, params))
                }
            }
            await #expect(throws: ErrorBody(code: .badRequest, message: "invalid space id")) {
                let params = DEKsRewrapParams(space: "nope", deks: [])
                _ = try await client.answer(to: client.request(method, params))
            }
        }
    }

    @Test("TOK-6: a token that is refreshed with the scope files opens deks.getFiles", arguments: TestBackend.available)
    func refreshed(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(.fixture("alice"))
            await #expect(throws: ErrorBody(code: .forbidden, message: "files scope required")) {
                let _: (chunks: [FileDEKEntry], result: DEKsGetResult<FileDEKEntry>) = try await client.deks(
                    .deksGetFiles, in: alice.space)
            }
            // Not waited for: the next request sees its effect all the same.
            let refresh = client.request(.tokenRefresh, TokenParams(token: harness.tokens.issue(alice)))
            let list = client.request(.deksGetFiles, DEKsGetParams(space: alice.space.wireText))
            let refreshed: TokenRefreshResult = try await client.answer(to: refresh).result.decode()
            #expect(refreshed == TokenRefreshResult())
            let listed: DEKsGetResult<FileDEKEntry> = try await client.answer(to: list).result.decode()
            #expect(listed == DEKsGetResult(deks: [], chunks: 0))
        }
    }

    @Test(
        "DKR-7: a rewrap moves no cursor and is told to nobody; who lists or pulls from 0 sees it",
        arguments: TestBackend.available)
    func rewrap(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let watcher = try await harness.subscriber(alice)
            _ = try await client.push(
                [.fixture(1, dek: .wrappedDEK(epoch: 1)), .fixture(2, dek: .wrappedDEK(epoch: 1))], to: alice.space)
            let file = try await self.recordFile(harness)
            #expect(try await watcher.takeNotifications() == ["sync", "file"])
            #expect(try await client.beginEpoch(2, in: alice.space) == .begun(epoch: 2))
            let new = ByteBuffer.wrappedDEK(epoch: 2, fill: 9)
            let deks = (1...2).map { (RecordID.fixtureText($0), new) }
            #expect(try await client.rewrap(.deksRewrap, deks, in: alice.space) == DEKsRewrapResult(count: 2))
            for (method, fill) in [(Method.fileDEKsRewrap, 3), (.deksRewrapFiles, 9)] as [(Method, UInt8)] {
                #expect(
                    try await client.rewrap(
                        method, [(file.wireText.uppercased(), .wrappedDEK(epoch: 2, fill: fill))], in: alice.space)
                        == DEKsRewrapResult(count: 1))
            }
            #expect(try await watcher.takeNotifications().isEmpty)
            #expect(try await watcher.pull(alice.space, since: 2).chunks.map(\.name) == ["pull.begin", "pull.commit"])
            let all = try await watcher.pull(alice.space).chunks
            #expect(try all[1].data.decode(as: RecordEntry.self).dek == new)
            #expect(try all[3].data.decode(as: PullFile.self).dek == new)
            #expect(try all[3].data.decode(as: PullFile.self).cursor == 2)
            try await client.completeEpoch(2, in: alice.space)
        }
    }

    @Test(
        "DKR-1, DKR-2, DKR-3, DKR-5: what is wrong with a rewrap of records, the first thing first; nothing is written",
        arguments: TestBackend.available)
    func refusedRecords(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let old = ByteBuffer.wrappedDEK(epoch: 1)
            _ = try await client.push([.fixture(1, dek: old), .fixture(2, dek: old)], to: alice.space)
            _ = try await client.beginEpoch(2, in: alice.space)
            let new = ByteBuffer.wrappedDEK(epoch: 2, fill: 9)
            let short = ByteBuffer(repeating: 2, count: 43)
            let (known, unknown) = (RecordID.fixtureText(1), RecordID.fixtureText(99))
            let empty = ErrorBody(code: .badRequest, message: "invalid record: id must be non-empty string")
            let length = ErrorBody(
                code: .badRequest, message: "invalid record: wrapped DEK must be exactly 44 bytes")
            let epoch = ErrorBody(
                code: .conflict, message: "DEK epoch does not match current key generation")
            let notUUID = ErrorBody(code: .badRequest, message: "invalid record: id must be a valid UUID")
            let notFound = ErrorBody(code: .badRequest, message: "one or more DEK records were not found")
            let cases: [([(id: String, dek: ByteBuffer)], ErrorBody)] = [
                ([(known, old)], epoch), ([("", new)], empty), ([("", short)], empty), ([(known, short)], length),
                ([(known, old), (known, short)], length), ([("not-a-uuid", new), ("", new)], empty),
                ([("not-a-uuid", new)], notUUID), ([("not-a-uuid", old)], epoch),
                ([(known, new), (unknown, new)], notFound),
                ([(unknown, new), (known, old)], notFound), ([(known, new), ("x", new), (unknown, old)], notUUID),
                ([(known, ByteBuffer(repeating: 2, count: 45))], length), ([(known, ByteBuffer())], length),
            ]
            for (deks, error) in cases {
                await #expect(throws: error) { try await client.rewrap(.deksRewrap, deks, in: alice.space) }
            }
            let answer: (chunks: [RecordDEKEntry], result: DEKsGetResult) = try await client.deks(
                .deksGet, in: alice.space)
            #expect(answer.result.deks.map(\.dek) == [old, old])
            #expect(try await client.rewrap(.deksRewrap, [], in: alice.space) == DEKsRewrapResult(count: 0))
        }
    }

    @Test(
        "FDR-1, FDR-2, FDR-3, FDR-4: what is wrong with a rewrap of files, under both names",
        arguments: TestBackend.available, [Method.fileDEKsRewrap, .deksRewrapFiles])
    func refusedFiles(on backend: TestBackend, method: Method) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            _ = try await client.push([.fixture(1)], to: alice.space)
            let old = ByteBuffer.wrappedDEK(epoch: 1)
            let file = try await self.recordFile(harness, dek: old)
            _ = try await client.beginEpoch(2, in: alice.space)
            let new = ByteBuffer.wrappedDEK(epoch: 2, fill: 9)
            let (known, unknown) = (file.wireText, FileID.random().wireText)
            let notUUID = ErrorBody(code: .badRequest, message: "invalid record: id must be a valid UUID")
            let length = ErrorBody(
                code: .badRequest, message: "invalid record: wrapped DEK must be exactly 44 bytes")
            let epoch = ErrorBody(
                code: .conflict, message: "DEK epoch does not match current key generation")
            let notFound = ErrorBody(code: .badRequest, message: "one or more file DEK records were not found")
            let cases: [([(id: String, dek: ByteBuffer)], ErrorBody)] = [
                ([("not-a-uuid", new)], notUUID), ([("", new)], notUUID),
                ([(known, ByteBuffer(repeating: 2, count: 43))], length), ([(known, old)], epoch),
                ([(unknown, new)], notFound), ([(unknown, new), (known, old)], epoch),
                ([(known, new), (unknown, new)], notFound), ([(known, old), ("x", new)], notUUID),
            ]
            for (deks, error) in cases {
                await #expect(throws: error) { try await client.rewrap(method, deks, in: alice.space) }
            }
            #expect(try await harness.storage.file(file, in: alice.space).wrappedDEK == old)
            #expect(try await client.rewrap(method, [], in: alice.space) == DEKsRewrapResult(count: 0))
        }
    }

    @Test(
        "DKR-6: who may only read lists and does not rewrap, whatever is wrong with the items",
        arguments: TestBackend.available)
    func permissions(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let space = try await SharedSpace.create(harness)
            try await harness.write([.fixture(1, dek: .wrappedDEK(epoch: 1))], to: space.id)
            var bob = SharedSpace.principal("bob")
            bob.scopes = ["sync", "files"]
            let client = harness.connect(bob)
            let reading = space.chain("bob", permission: .read)
            let forbidden = ErrorBody(code: .forbidden, message: "forbidden")
            for method in Self.rewraps {
                await #expect(throws: forbidden) {
                    try await client.rewrap(method, [("", ByteBuffer())], in: space.id, ucan: reading)
                }
            }
            let answer: (chunks: [RecordDEKEntry], result: DEKsGetResult<RecordDEKEntry>)
            answer = try await client.deks(.deksGet, in: space.id, ucan: reading)
            #expect(answer.result.deks.map(\.id) == [.fixture(1)])
            for (id, ucan) in [(space.id, ""), (SpaceID.random(), reading)] {
                await #expect(throws: forbidden) {
                    let _: (chunks: [FileDEKEntry], result: DEKsGetResult<FileDEKEntry>) = try await client.deks(
                        .deksGetFiles, in: id, ucan: ucan)
                }
            }
            #expect(
                try await client.rewrap(
                    .deksRewrap, [(RecordID.fixtureText(1), .wrappedDEK(epoch: 1, fill: 5))], in: space.id,
                    ucan: space.chain("bob")) == DEKsRewrapResult(count: 1))
        }
    }

    @Test(
        "C3: a list in progress is cut by the revocation: no chunk after it, no result, forbidden",
        arguments: TestBackend.available)
    func cut(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let space = try await SharedSpace.create(harness)
            try await harness.write(
                (1...400).map { .fixture($0, dek: .wrappedDEK(epoch: 1)) }, to: space.id)
            let bob = harness.connect(SharedSpace.principal("bob"))
            let ucan = space.chain("bob")
            let id = bob.request(.deksGet, DEKsGetParams(space: space.id.wireText, ucan: ucan))
            try await eventually { bob.connection.unreadFrames >= 32 }
            await harness.engine.services.authorities.revoked(
                UnverifiedDelegation.cid(of: ucan), in: space.id, by: nil)
            let queued = bob.connection.unreadFrames
            var chunks = 0
            await #expect(throws: ErrorBody(code: .forbidden, message: "forbidden")) {
                while true {
                    switch try await bob.next() {
                    case .chunk(id: id, _, _): chunks += 1
                    case .failure(id: id, let error): throw error
                    case .response(id: id, _): Issue.record("A list that was cut has a result.")
                    default: break
                    }
                }
            }
            #expect(chunks <= queued)
            #expect(harness.engine.services.revocations.leaseCount == 0)
        }
    }

    @Test("rpc §11: the personal space is made on first contact", arguments: listings + rewraps, TestBackend.available)
    func firstContact(method: Method, on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            let params = DEKsRewrapParams(space: alice.space.wireText, deks: [])
            _ = try await client.answer(to: client.request(method, params))
            #expect(try await harness.storage.space(alice.space).clientID == alice.clientID)
        }
    }

    @Test("rpc §11: a storage that fails is internal", arguments: listings + rewraps, TestBackend.available)
    func storageFails(method: Method, on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            try await client.settle()
            await harness.storage.close()
            await #expect(throws: ErrorBody(code: .internal, message: "internal")) {
                let params = DEKsRewrapParams(
                    space: alice.space.wireText, deks: [.init(id: RecordID.fixtureText(1), dek: .wrappedDEK(epoch: 1))])
                _ = try await client.answer(to: client.request(method, params))
            }
        }
    }

    @Test("rpc §11: a storage that fails mid-list is internal, without a result", arguments: TestBackend.available)
    func failsMidList(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let client = harness.connect(alice)
            _ = try await client.subscribe(alice.space)
            // More than lies between the database and the session.
            let dek = ByteBuffer(repeating: 1, count: 4_096)
            try await harness.write((1...5_000).map { .fixture($0, dek: dek) }, to: alice.space)
            let id = client.request(.deksGet, DEKsGetParams(space: alice.space.wireText))
            try await eventually { client.connection.unreadFrames >= 32 }
            try await harness.database.breakOpenPulls()
            await #expect(throws: ErrorBody(code: .internal, message: "internal")) {
                _ = try await client.answer(to: id)
            }
        }
    }

    @Test(
        "CO9: rewraps race with pushes to the same records; each record ends with one of the two DEKs",
        arguments: TestBackend.available)
    func race(on backend: TestBackend) async throws {
        try await EngineHarness.run(on: backend) { harness in
            let (writer, rewrapper) = (harness.connect(alice), harness.connect(alice))
            let old = ByteBuffer.wrappedDEK(epoch: 1)
            _ = try await writer.push((1...20).map { .fixture($0, "0", dek: old) }, to: alice.space)
            _ = try await writer.beginEpoch(2, in: alice.space)
            for round in 1...10 {
                let (mine, theirs) = (
                    ByteBuffer.wrappedDEK(epoch: 2, fill: UInt8(round)),
                    ByteBuffer.wrappedDEK(epoch: 2, fill: UInt8(100 + round))
                )
                let deks = (1...20).map { (RecordID.fixtureText($0), mine) }
                let changes = (1...20).map {
                    PushParams.Change.fixture($0, "\(round)", at: Int64(round), dek: theirs)
                }
                async let rewrapped = rewrapper.rewrap(.deksRewrap, deks, in: alice.space)
                async let pushed = writer.push(changes, to: alice.space)
                #expect(try await pushed == .accepted(cursor: Int64(round + 1)))
                #expect(try await rewrapped == DEKsRewrapResult(count: 20))
                let answer: (chunks: [RecordDEKEntry], result: DEKsGetResult<RecordDEKEntry>)
                answer = try await writer.deks(.deksGet, in: alice.space)
                // Both are one transaction each: all records show the same winner.
                let winners = Set(answer.chunks.map(\.dek))
                #expect(winners == [mine] || winners == [theirs])
                #expect(answer.chunks.count == 20 && answer.chunks.allSatisfy { $0.cursor == Int64(round + 1) })
            }
        }
    }
}
