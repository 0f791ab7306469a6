import NIOCore
import SyncProtocol
import SyncTesting
import Testing

@testable import SyncClient

@Suite("Client calls of epochs and DEKs", .timeLimit(.minutes(5)))
struct EpochTests {
    private let space = SpaceID.fixture.wireText

    /// What the server is to see of one call, and what it answers.
    private func serve<Params: WireDecodable & Equatable, Result: Sendable>(
        _ method: Method, _ params: Params, _ server: FakeServer, _ answer: (String) -> Void,
        _ call: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        let called = Task { try await call() }
        let request = try await server.nextRequest()
        #expect(request.method == method.rawValue)
        #expect(try request.params.decode(as: Params.self) == params)
        answer(request.id)
        return try await called.value
    }

    @Test("rpc §10: an epoch is begun or not, and completed")
    func epochs() async throws {
        try await FakeServer.withClient { server, client in
            let params = EpochBeginParams(space: self.space, ucan: "u", epoch: 2, setsMinKeyGeneration: true)
            let conflict = EpochConflict(error: "epoch_conflict", currentEpoch: 2, rewrapEpoch: 2)
            for result in [EpochBeginResult.begun(epoch: 2), .conflict(conflict)] {
                let told = try await self.serve(.epochBegin, params, server) {
                    server.answer($0, result)
                } _: {
                    try await client.beginEpoch(2, in: .fixture, setsMinimum: true, ucan: "u")
                }
                #expect(told == result)
            }
            try await self.serve(.epochComplete, EpochCompleteParams(space: self.space, epoch: 2), server) {
                server.answer($0, EmptyMap())
            } _: {
                try await client.completeEpoch(2, in: .fixture)
            }
        }
    }

    @Test("rpc §11: DEKs come in chunks, under the names of the SDK")
    func lists() async throws {
        try await FakeServer.withClient { server, client in
            let params = DEKsGetParams(space: self.space, ucan: "u", since: 3)
            let records = (1...100).map {
                RecordDEKEntry(id: .fixture($0), dek: .wrappedDEK(epoch: 1), cursor: Int64($0))
            }
            let told = try await self.serve(.deksGet, params, server) { id in
                for entry in records { server.chunk(id, .deksRecord, entry) }
                server.answer(id, DEKsGetResult<RecordDEKEntry>(deks: [], chunks: 100))
            } _: {
                try await client.recordDEKs(of: .fixture, since: 3, ucan: "u")
            }
            #expect(told == records)
            let file = FileDEKEntry(id: FileID(bits: 1), dek: .wrappedDEK(epoch: 1), cursor: 8)
            let files = try await self.serve(.deksGetFiles, DEKsGetParams(space: self.space), server) { id in
                server.chunk(id, .deksFilesRecord, file)
                server.answer(id, DEKsGetResult(deks: [file], chunks: 1))
            } _: {
                try await client.fileDEKs(of: .fixture)
            }
            #expect(files == [file])
        }
    }

    @Test("A list that is not whole, or not one of DEKs, is a violation")
    func violations() async throws {
        try await FakeServer.withClient { server, client in
            let params = DEKsGetParams(space: self.space)
            let entry = RecordDEKEntry(id: .fixture(1), dek: .wrappedDEK(epoch: 1), cursor: 1)
            await #expect(throws: SyncClientError.protocolViolation("1 chunks instead of 2")) {
                try await self.serve(.deksGet, params, server) { id in
                    server.chunk(id, .deksRecord, entry)
                    server.answer(id, DEKsGetResult(deks: [entry], chunks: 2))
                } _: {
                    try await client.recordDEKs(of: .fixture)
                }
            }
            await #expect(throws: SyncClientError.protocolViolation("chunk deks.files.record")) {
                try await self.serve(.deksGet, params, server) { id in
                    server.chunk(id, .deksFilesRecord, entry)
                } _: {
                    try await client.recordDEKs(of: .fixture)
                }
            }
            await #expect(throws: SyncClientError.protocolViolation("chunk deks.record")) {
                let pull = PullParams(spaces: [.init(id: self.space, since: 0)])
                try await self.serve(.pull, pull, server) { id in
                    server.chunk(id, .deksRecord, entry)
                } _: {
                    try await client.pull(pull.spaces) { _ in }
                }
            }
        }
    }

    @Test("rpc §11: a rewrap names what it replaces; fewer than were sent is a violation")
    func rewraps() async throws {
        try await FakeServer.withClient { server, client in
            let dek = ByteBuffer.wrappedDEK(epoch: 2)
            let records = DEKsRewrapParams(
                space: self.space, ucan: "u", deks: [.init(id: RecordID.fixtureText(1), dek: dek)])
            try await self.serve(.deksRewrap, records, server) {
                server.answer($0, DEKsRewrapResult(count: 1))
            } _: {
                try await client.rewrapRecordDEKs([(.fixture(1), dek)], in: .fixture, ucan: "u")
            }
            let file = FileID(bits: 1)
            let files = DEKsRewrapParams(space: self.space, deks: [.init(id: file.wireText, dek: dek)])
            try await self.serve(.deksRewrapFiles, files, server) {
                server.answer($0, DEKsRewrapResult(count: 1))
            } _: {
                try await client.rewrapFileDEKs([(file, dek)], in: .fixture)
            }
            await #expect(throws: SyncClientError.protocolViolation("0 DEKs instead of 1")) {
                try await self.serve(.deksRewrapFiles, files, server) {
                    server.answer($0, DEKsRewrapResult(count: 0))
                } _: {
                    try await client.rewrapFileDEKs([(file, dek)], in: .fixture)
                }
            }
        }
    }

    @Test("rpc §14.3: an uploaded file is an event")
    func fileEvent() async throws {
        try await FakeServer.withClient { server, client in
            let notification = FileNotification(
                space: .fixture, cursor: 4,
                files: [.init(id: FileID(bits: 1), recordID: .fixture(1), size: 5, dek: .wrappedDEK(epoch: 1))])
            server.connection.send(FrameEncoder.notification(method: .file, params: notification))
            #expect(await client.nextEvent() == .file(notification))
        }
    }
}
