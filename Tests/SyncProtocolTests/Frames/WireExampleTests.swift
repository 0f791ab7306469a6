import NIOCore
import SyncProtocol
import Testing

/// The examples of docs/contract/wire.md §18, decoded to values and encoded to the same bytes.
@Suite("Wire examples")
struct WireExampleTests {
    static let space = "cf78fa75-e714-5073-8972-126a66255b39"
    static let record = "019400e8-7b5d-7000-8000-000000000001"
    static let record2 = "019400e8-7b5d-7000-8000-000000000002"
    static let file = "d205899b-b9fb-4d6e-8159-8578661a574c"
    static let dek = ByteBuffer(bytes: [0, 0, 0, 1] + Array(repeating: 0xAA, count: 40))
    static let peer = "82914299e281046322b00d59409da960"

    @Test("All 40 examples are there, each as long as it says")
    func complete() {
        #expect(
            Set(Fixtures.wireExamples.map(\.id))
                == Set((1...11).map { "C\($0)" } + (1...29).map { "S\($0)" })
        )
        for example in Fixtures.wireExamples {
            #expect(example.message.readableBytes == example.bytes, "\(example.id)")
        }
    }

    // MARK: - Client

    private func expectRequest<Params: WireDecodable & WireEncodable & Equatable>(
        _ example: String, _ id: String, _ method: Method, _ params: Params, sameBytes: Bool = true
    ) throws {
        guard case .request(let request) = try FrameDecoder.decodeClientFrame(Fixtures.example(example)) else {
            Issue.record("\(example) is no request")
            return
        }
        #expect(request.id == id)
        #expect(request.method == method.rawValue)
        #expect(try request.params.decode() == params)
        if sameBytes {
            #expect(hex(FrameEncoder.request(id: id, method: method, params: params)) == hex(Fixtures.example(example)))
        }
    }

    @Test("C1: auth")
    func auth() { #expect(hex(FrameEncoder.auth(token: "T")) == hex(Fixtures.example("C1"))) }

    @Test("C2: subscribe with presence")
    func subscribe() throws {
        try self.expectRequest(
            "C2", "rpc-1", .subscribe, SubscribeParams(spaces: [.init(id: Self.space, since: 0, presence: true)])
        )
    }

    @Test("C3, W-44: subscribe with undefined optionals")
    func subscribeUndefined() throws {
        try self.expectRequest(
            "C3", "rpc-2", .subscribe, SubscribeParams(spaces: [.init(id: Self.space, since: 0)]), sameBytes: false
        )
    }

    private func expectClientNotification<Params: WireDecodable & WireEncodable & Equatable>(
        _ example: String, _ method: Method, _ params: Params
    ) throws {
        let message = Fixtures.example(example)
        #expect(hex(FrameEncoder.notification(method: method, params: params)) == hex(message))
        guard case .notification(let notification) = try FrameDecoder.decodeClientFrame(message) else {
            Issue.record("\(example) is no notification")
            return
        }
        #expect(notification.method == method.rawValue)
        #expect(try notification.params.decode() == params)
    }

    @Test("C4: unsubscribe")
    func unsubscribe() throws {
        try self.expectClientNotification("C4", .unsubscribe, UnsubscribeParams(spaces: [Self.space]))
    }

    @Test("C8, C9: presence.set and event.send")
    func presenceAndEvent() throws {
        try self.expectClientNotification(
            "C8", .presenceSet, PresenceParams(space: Self.space, data: ByteBuffer(bytes: [9, 9, 9])))
        try self.expectClientNotification(
            "C9", .eventSend, PresenceParams(space: Self.space, data: ByteBuffer(bytes: [4, 5, 6])))
    }

    @Test("C5: push of a new record and a deletion")
    func push() throws {
        try self.expectRequest(
            "C5", "rpc-3", .push,
            PushParams(
                space: Self.space,
                changes: [
                    .init(id: Self.record, blob: ByteBuffer(bytes: [1, 2, 3]), expectedCursor: 0, dek: Self.dek),
                    .init(id: Self.record2, blob: nil, expectedCursor: 41, dek: nil),
                ]
            )
        )
    }

    @Test("C6: pull")
    func pull() throws {
        try self.expectRequest("C6", "rpc-4", .pull, PullParams(spaces: [.init(id: Self.space, since: 0)]))
    }

    @Test("C7: token.refresh")
    func tokenRefresh() throws {
        try self.expectRequest("C7", "rpc-5", .tokenRefresh, TokenParams(token: "T2"))
    }

    @Test("C10: a frame of another method decodes")
    func others() throws {
        guard case .request(let request) = try FrameDecoder.decodeClientFrame(Fixtures.example("C10")) else {
            Issue.record("C10 is no request")
            return
        }
        #expect(request.method == "deks.get")
        #expect(request.id == "rpc-6")
    }

    // MARK: - Server

    private func expectResponse<Result: WireDecodable & WireEncodable & Equatable>(
        _ example: String, _ id: String, _ result: Result
    ) throws {
        let message = Fixtures.example(example)
        #expect(hex(FrameEncoder.response(id: id, result: result)) == hex(message))
        guard case .response(let decodedID, let payload) = try FrameDecoder.decodeServerFrame(message) else {
            Issue.record("\(example) is no response")
            return
        }
        #expect(decodedID == id)
        #expect(try payload.decode() == result)
    }

    private func expectChunk<Chunk: WireDecodable & WireEncodable & Equatable>(
        _ example: String, id: String = "rpc-4", _ name: ChunkName, _ chunk: Chunk
    ) throws {
        let message = Fixtures.example(example)
        #expect(hex(FrameEncoder.chunk(id: id, name: name, data: chunk)) == hex(message))
        guard case .chunk(id, name.rawValue, let payload) = try FrameDecoder.decodeServerFrame(message) else {
            Issue.record("\(example) is no \(name) chunk")
            return
        }
        #expect(try payload.decode() == chunk)
    }

    @Test("S1: subscribe result with rewrap epoch and a peer")
    func subscribeResult() throws {
        try self.expectResponse(
            "S1", "rpc-1",
            SubscribeResult(spaces: [
                .init(
                    id: Self.space, cursor: 42, keyGeneration: 3, rewrapEpoch: 2,
                    peers: [.init(peer: Self.peer, data: ByteBuffer(bytes: [9, 9, 9]))]
                )
            ])
        )
    }

    @Test("S2: subscribe result with a failure")
    func subscribeFailure() throws {
        try self.expectResponse(
            "S2", "rpc-2", SubscribeResult(spaces: [], errors: [.init(space: "not-a-uuid", error: .badRequest)])
        )
    }

    @Test("S3: error response")
    func errorResponse() throws {
        let message = Fixtures.example("S3")
        let text = "unknown method: nonexistent.method"
        #expect(hex(FrameEncoder.error(id: "", code: .methodNotFound, message: text)) == hex(message))
        let error = ErrorBody(code: .methodNotFound, message: text)
        #expect(try FrameDecoder.decodeServerFrame(message) == .failure(id: "", error: error))
        #expect(error.knownCode == .methodNotFound)
        #expect(ErrorBody(code: "from_the_future", message: "").knownCode == nil)
    }

    @Test("S4, S5, S29: push results")
    func pushResults() throws {
        try self.expectResponse("S4", "rpc-3", PushResult.accepted(cursor: 77))
        try self.expectResponse("S5", "rpc-3", PushResult.refused(.conflict))
        try self.expectResponse("S29", "rpc-3", PushResult.refused(.keyGenerationStale))
    }

    @Test("S6: pull.begin")
    func pullBegin() throws {
        try self.expectChunk(
            "S6", .pullBegin, PullBegin(space: Self.space, prev: 0, cursor: 78, keyGeneration: 1, rewrapEpoch: nil)
        )
    }

    @Test("S7, S8: pull.record, live and deleted")
    func pullRecord() throws {
        let record = try #require(RecordID(wireText: Self.record))
        let record2 = try #require(RecordID(wireText: Self.record2))
        try self.expectChunk(
            "S7", .pullRecord,
            RecordEntry(
                space: Self.space, id: record, blob: ByteBuffer(bytes: [1, 2, 3]), cursor: 77, dek: Self.dek,
                deleted: false
            )
        )
        try self.expectChunk(
            "S8", .pullRecord,
            RecordEntry(space: Self.space, id: record2, blob: nil, cursor: 77, dek: nil, deleted: true)
        )
    }

    @Test("S9: pull.membership")
    func pullMembership() throws {
        try self.expectChunk(
            "S9", .pullMembership,
            PullMembership(
                space: Self.space, cursor: 1,
                entries: [
                    .init(
                        chainSequence: 1, previousHash: nil, entryHash: ByteBuffer(repeating: 0x11, count: 32),
                        payload: ByteBuffer(bytes: [7, 8, 9])
                    )
                ]
            )
        )
    }

    @Test("S10: pull.file")
    func pullFile() throws {
        try self.expectChunk(
            "S10", .pullFile,
            PullFile(
                space: Self.space, id: try #require(FileID(wireText: Self.file)),
                recordID: try #require(RecordID(wireText: Self.record)), size: 2_048_576, dek: Self.dek, cursor: 78,
                deleted: false
            )
        )
    }

    @Test("S11: pull.commit")
    func pullCommit() throws {
        try self.expectChunk("S11", .pullCommit, PullCommit(space: Self.space, prev: 0, cursor: 78, count: 2))
    }

    @Test("S12: final result of a pull")
    func chunkCount() throws { try self.expectResponse("S12", "rpc-4", ChunkCount(chunks: 4)) }

    @Test("NTF-1, S13: sync with a live record and a deletion")
    func sync() throws {
        let notification = SyncNotification(
            space: try #require(SpaceID(wireText: Self.space)), prev: 76, cursor: 77, keyGeneration: 0,
            rewrapEpoch: nil,
            records: [
                RecordEntry(
                    space: nil, id: try #require(RecordID(wireText: Self.record)), blob: ByteBuffer(bytes: [1, 2, 3]),
                    cursor: 77, dek: Self.dek, deleted: false
                ),
                RecordEntry(
                    space: nil, id: try #require(RecordID(wireText: Self.record2)), blob: nil, cursor: 77, dek: nil,
                    deleted: true
                ),
            ]
        )
        let message = Fixtures.example("S13")
        #expect(hex(FrameEncoder.sync(notification)) == hex(message))
        #expect(FrameEncoder.notificationSize(method: .sync, params: notification) == 282)
        guard case .notification(Method.sync.rawValue, let payload) = try FrameDecoder.decodeServerFrame(message) else {
            Issue.record("S13 is no sync notification")
            return
        }
        #expect(try payload.decode() == notification)
    }

    @Test("S21, S22: token.refresh results")
    func tokenRefreshResults() throws {
        try self.expectResponse("S21", "rpc-5", TokenRefreshResult())
        try self.expectResponse("S22", "rpc-5", TokenRefreshResult(error: "invalid auth token"))
    }

    private func expectNotification<Params: WireDecodable & WireEncodable & Equatable>(
        _ example: String, _ method: Method, _ params: Params
    ) throws {
        let message = Fixtures.example(example)
        #expect(hex(FrameEncoder.notification(method: method, params: params)) == hex(message))
        guard case .notification(method.rawValue, let payload) = try FrameDecoder.decodeServerFrame(message) else {
            Issue.record("\(example) is no \(method) notification")
            return
        }
        #expect(try payload.decode() == params)
    }

    @Test("S14: membership")
    func membership() throws {
        try self.expectNotification(
            "S14", .membership,
            MembershipNotification(
                space: try #require(SpaceID(wireText: Self.space)), cursor: 79,
                entries: [
                    MembershipEntry(
                        chainSequence: 2, previousHash: ByteBuffer(repeating: 0x11, count: 32),
                        entryHash: ByteBuffer(repeating: 0x22, count: 32), payload: ByteBuffer(bytes: [7, 8, 9]))
                ]))
    }

    @Test("S16, S17: revoked, and invitation, which says nothing")
    func revokedAndInvitation() throws {
        let space = try #require(SpaceID(wireText: Self.space))
        try self.expectNotification("S16", .revoked, RevokedNotification(space: space))
        try self.expectNotification("S17", .invitation, EmptyMap())
    }

    @Test("S18–S20: presence, presence.leave and event")
    func presence() throws {
        let space = try #require(SpaceID(wireText: Self.space))
        try self.expectNotification(
            "S18", .presence,
            PresenceNotification(space: space, peer: Self.peer, data: ByteBuffer(bytes: [9, 9, 9])))
        try self.expectNotification(
            "S19", .presenceLeave, PresenceLeaveNotification(space: space, peer: Self.peer))
        try self.expectNotification(
            "S20", .event, PresenceNotification(space: space, peer: Self.peer, data: ByteBuffer(bytes: [4, 5, 6])))
    }

    @Test("S26: an empty result")
    func emptyResult() throws { try self.expectResponse("S26", "rpc-8", EmptyMap()) }

    @Test("S15: file")
    func file() throws {
        try self.expectNotification(
            "S15", .file,
            FileNotification(
                space: try #require(SpaceID(wireText: Self.space)), cursor: 80,
                files: [
                    .init(
                        id: try #require(FileID(wireText: Self.file)),
                        recordID: try #require(RecordID(wireText: Self.record)), size: 2_048_576, dek: Self.dek)
                ]))
    }

    @Test("C10: deks.get")
    func getDEKs() throws {
        try self.expectRequest("C10", "rpc-6", .deksGet, DEKsGetParams(space: Self.space), sameBytes: false)
    }

    private func recordDEK() throws -> RecordDEKEntry {
        RecordDEKEntry(id: try #require(RecordID(wireText: Self.record)), dek: Self.dek, cursor: 77)
    }

    @Test("S23, S28: chunks of deks.get and deks.getFiles")
    func dekChunks() throws {
        try self.expectChunk("S23", id: "rpc-6", .deksRecord, try self.recordDEK())
        try self.expectChunk(
            "S28", id: "rpc-6", .deksFilesRecord,
            FileDEKEntry(id: try #require(FileID(wireText: Self.file)), dek: Self.dek, cursor: 80))
    }

    @Test("S27: result of deks.get")
    func deksResult() throws {
        try self.expectResponse("S27", "rpc-6", DEKsGetResult(deks: [try self.recordDEK()], chunks: 1))
    }

    @Test("S24: a client takes the reference's result of deks.get too")
    func referenceDEKsResult() throws {
        guard case .response("rpc-6", let result) = try FrameDecoder.decodeServerFrame(Fixtures.example("S24")) else {
            Issue.record("S24 is no response")
            return
        }
        #expect(try result.decode() == DEKsGetResult(deks: [try self.recordDEK()], chunks: 0))
    }

    @Test("S25: an epoch that could not be begun")
    func epochConflict() throws {
        let conflict = EpochConflict(
            error: ProtocolFamily.less.epochConflict, currentEpoch: 2, rewrapEpoch: 2)
        try self.expectResponse("S25", "rpc-7", EpochBeginResult.conflict(conflict))
    }

    @Test("W-57: the keepalive is one byte")
    func keepalive() throws {
        #expect(FrameEncoder.keepalive == ByteBuffer(bytes: [0xF6]))
        #expect(try FrameDecoder.decodeServerFrame(FrameEncoder.keepalive) == .keepalive)
        #expect(try FrameDecoder.decodeClientFrame(FrameEncoder.keepalive) == .keepalive)
    }
}
