import NIOCore
import SyncProtocol
import Testing

/// Params of each method, one fact changed from something valid.
@Suite("Params")
struct ParamsTests {
    private func decode<Params: WireDecodable>(_ params: Params.Type, _ hex: String) throws -> Params {
        try FramePayload(item: buffer(hex)).decode()
    }

    // `{"spaces": [{"id": "a", "since": 5}]}` in pieces.
    private static let spaces = "a1 66737061636573 81"
    private static let idA = "626964 6161"
    private static let since5 = "6573696e6365 05"

    @Test("W-41, W-42, SUB-12, PSH-4, PUL-5, TOK-5, UNS-3: params that are a text string, or no map at all")
    func notAMap() {
        for hex in ["63666f6f", "00", "80", "f6", "f7", "4161", "f93c00", "c1a0"] {
            #expect(throws: CBORError.typeMismatch) { try self.decode(SubscribeParams.self, hex) }
            #expect(throws: CBORError.typeMismatch) { try self.decode(UnsubscribeParams.self, hex) }
            #expect(throws: CBORError.typeMismatch) { try self.decode(PushParams.self, hex) }
            #expect(throws: CBORError.typeMismatch) { try self.decode(PullParams.self, hex) }
            #expect(throws: CBORError.typeMismatch) { try self.decode(TokenParams.self, hex) }
        }
    }

    @Test("Missing params fail for every method")
    func missing() {
        let missing = FramePayload(item: nil)
        #expect(throws: CBORError.missingField) { try missing.decode(as: SubscribeParams.self) }
        #expect(throws: CBORError.missingField) { try missing.decode(as: PushParams.self) }
    }

    @Test("TOK-5: no token", arguments: ["a0", "a1 6161 00", "bf ff"])
    func tokenMissing(hex: String) {
        #expect(throws: CBORError.missingField) { try self.decode(TokenParams.self, hex) }
    }

    @Test("TOK-5: a token that is no text", arguments: ["f6", "f7", "00", "4154"])
    func tokenType(value: String) {
        #expect(throws: CBORError.typeMismatch) { try self.decode(TokenParams.self, "a1 65746f6b656e" + value) }
    }

    // MARK: - subscribe, pull

    @Test("SUB-24: id or since missing, null or of another type")
    func subscribeRequired() throws {
        func expect(_ error: CBORError, _ entry: String) {
            #expect(throws: error) { try self.decode(SubscribeParams.self, Self.spaces + entry) }
            #expect(throws: error) { try self.decode(PullParams.self, Self.spaces + entry) }
        }
        expect(.missingField, "a1 \(Self.idA)")
        expect(.missingField, "a1 \(Self.since5)")
        expect(.missingField, "a0")
        expect(.typeMismatch, "a2 \(Self.idA) 6573696e6365 f6")
        expect(.typeMismatch, "a2 \(Self.idA) 6573696e6365 f7")
        expect(.typeMismatch, "a2 \(Self.idA) 6573696e6365 f94500")
        expect(.typeMismatch, "a2 \(Self.idA) 6573696e6365 6135")
        expect(.outOfRange, "a2 \(Self.idA) 6573696e6365 1b8000000000000000")
        expect(.typeMismatch, "a2 626964 4161 \(Self.since5)")
        expect(.typeMismatch, "a2 626964 f7 \(Self.since5)")
        expect(.duplicateKey, "a3 \(Self.idA) \(Self.since5) \(Self.since5)")
        expect(.duplicateKey, "a4 \(Self.idA) \(Self.since5) 647563616e f6 647563616e 60")
        expect(.typeMismatch, "6161")

        #expect(throws: CBORError.missingField) { try self.decode(SubscribeParams.self, "a0") }
        #expect(throws: CBORError.missingField) { try self.decode(UnsubscribeParams.self, "a0") }
        #expect(throws: CBORError.missingField) { try self.decode(PullParams.self, "a0") }
        #expect(throws: CBORError.typeMismatch) { try self.decode(SubscribeParams.self, "a1 66737061636573 f6") }
        #expect(throws: CBORError.typeMismatch) { try self.decode(PullParams.self, "a1 66737061636573 a0") }
        #expect(throws: CBORError.typeMismatch) { try self.decode(UnsubscribeParams.self, "a1 66737061636573 81 00") }
    }

    @Test("W-44: ucan, token and presence absent, null or undefined", arguments: ["f6", "f7"])
    func subscribeOptional(absent: String) throws {
        let plain = SubscribeParams(spaces: [.init(id: "a", since: 5)])
        #expect(try self.decode(SubscribeParams.self, Self.spaces + "a2 \(Self.idA) \(Self.since5)") == plain)
        let optionals = "647563616e \(absent) 65746f6b656e \(absent) 6870726573656e6365 \(absent)"
        #expect(
            try self.decode(SubscribeParams.self, Self.spaces + "a5 \(Self.idA) \(Self.since5) \(optionals)") == plain)
        #expect(
            try self.decode(PullParams.self, Self.spaces + "a3 \(Self.idA) \(Self.since5) 647563616e \(absent)")
                == PullParams(spaces: [.init(id: "a", since: 5)])
        )
    }

    @Test("SUB-13, SUB-25: empty lists decode, ids stay as they were written")
    func subscribeValues() throws {
        #expect(try self.decode(SubscribeParams.self, "a1 66737061636573 80") == SubscribeParams(spaces: []))
        #expect(try self.decode(UnsubscribeParams.self, "a1 66737061636573 9fff") == UnsubscribeParams(spaces: []))
        #expect(try self.decode(PullParams.self, "a1 66737061636573 80") == PullParams(spaces: []))
        let entry = "a5 626964 6141 6573696e6365 24 647563616e 6175 65746f6b656e 6174 6870726573656e6365 f5"
        #expect(
            try self.decode(SubscribeParams.self, Self.spaces + entry)
                == SubscribeParams(spaces: [.init(id: "A", since: -5, ucan: "u", token: "t", presence: true)])
        )
    }

    @Test("Optional fields of another type fail")
    func subscribeOptionalTypes() {
        for field in ["647563616e 00", "65746f6b656e 4161", "6870726573656e6365 01"] {
            #expect(throws: CBORError.typeMismatch) {
                try self.decode(SubscribeParams.self, Self.spaces + "a3 \(Self.idA) \(Self.since5) \(field)")
            }
        }
    }

    // MARK: - push

    // `{"space": "s", "changes": [` and the change `{"id": "a", "expected_cursor": 5, …}`.
    private static let push = "a2 657370616365 6173 676368616e676573 81"
    private static let expected5 = "6f65787065637465645f637572736f72 05"

    private func change(_ hex: String) throws -> PushParams.Change {
        let params = try self.decode(PushParams.self, Self.push + hex)
        return try #require(params.changes.first)
    }

    @Test("PSH-17: expected_cursor missing, null or of another type")
    func pushRequired() {
        #expect(throws: CBORError.missingField) { try self.change("a1 \(Self.idA)") }
        #expect(throws: CBORError.missingField) { try self.change("a1 \(Self.expected5)") }
        let key = "6f65787065637465645f637572736f72"
        for (value, error) in [
            ("f6", CBORError.typeMismatch), ("f7", .typeMismatch), ("f94500", .typeMismatch), ("6135", .typeMismatch),
            ("1bffffffffffffffff", .outOfRange), ("3bffffffffffffffff", .outOfRange),
        ] {
            #expect(throws: error) { try self.change("a2 \(Self.idA) \(key) \(value)") }
        }
        #expect(throws: CBORError.duplicateKey) {
            try self.change("a3 \(Self.idA) \(Self.expected5) \(Self.expected5)")
        }
        #expect(throws: CBORError.missingField) { try self.decode(PushParams.self, "a1 657370616365 6173") }
        #expect(throws: CBORError.missingField) { try self.decode(PushParams.self, "a1 676368616e676573 80") }
        #expect(throws: CBORError.typeMismatch) {
            try self.decode(PushParams.self, "a2 657370616365 f6 676368616e676573 80")
        }
        #expect(throws: CBORError.typeMismatch) {
            try self.decode(PushParams.self, "a2 657370616365 6173 676368616e676573 f7")
        }
    }

    @Test("W-44, PSH-15: blob, dek and ucan absent, null or undefined", arguments: ["f6", "f7"])
    func pushOptional(absent: String) throws {
        let deletion = PushParams.Change(id: "a", blob: nil, expectedCursor: 5, dek: nil)
        #expect(try self.change("a2 \(Self.idA) \(Self.expected5)") == deletion)
        #expect(try self.change("a4 \(Self.idA) \(Self.expected5) 64626c6f62 \(absent) 6364656b \(absent)") == deletion)
        #expect(
            try self.decode(PushParams.self, "a3 647563616e \(absent) 657370616365 6173 676368616e676573 80")
                == PushParams(space: "s", changes: [])
        )
    }

    @Test("PUL-10: an empty blob is not an absent one")
    func emptyBlob() throws {
        #expect(try self.change("a3 \(Self.idA) \(Self.expected5) 64626c6f62 40").blob == ByteBuffer())
        #expect(try self.change("a3 \(Self.idA) \(Self.expected5) 64626c6f62 5fff").blob == ByteBuffer())
    }

    @Test("W-47: a blob or dek as array of integers or as text", arguments: ["64626c6f62", "6364656b"])
    func bytesAsArray(key: String) {
        for value in ["83 01 02 03", "80", "9fff", "6161", "00", "f5", "c1 4101"] {
            #expect(throws: CBORError.typeMismatch) {
                try self.change("a3 \(Self.idA) \(Self.expected5) \(key) \(value)")
            }
        }
    }

    @Test("W-43: unknown keys at every level, also twice")
    func unknownKeys() throws {
        let change = "a5 6178 f97e00 6178 80 \(Self.idA) \(Self.expected5) 6179 a1 01 c100"
        #expect(try self.change(change) == .init(id: "a", blob: nil, expectedCursor: 5, dek: nil))
        #expect(
            try self.decode(PushParams.self, "bf 6178 00 6178 00 657370616365 6173 676368616e676573 80 ff")
                == PushParams(space: "s", changes: [])
        )
    }

    @Test("A long array of changes decodes whole")
    func manyChanges() throws {
        let changes = (0..<5_000).map {
            PushParams.Change(id: "r\($0)", blob: ByteBuffer(integer: $0), expectedCursor: Int64($0), dek: nil)
        }
        let params = PushParams(space: "s", ucan: "u", changes: changes)
        let frame = FrameEncoder.request(id: "1", method: .push, params: params)
        guard case .request(let request) = try FrameDecoder.decodeClientFrame(frame) else {
            Issue.record("no request")
            return
        }
        #expect(try request.params.decode() == params)
    }
}

/// Results and chunks as a client reads them.
@Suite("Results")
struct ResultTests {
    private func decode<Result: WireDecodable>(_ result: Result.Type, _ hex: String) throws -> Result {
        try FramePayload(item: buffer(hex)).decode()
    }

    @Test("A required field missing fails for every result and chunk")
    func required() {
        func expectMissing<Message: WireDecodable>(_ message: Message.Type) {
            #expect(throws: CBORError.missingField, "\(message)") { try self.decode(message, "a0") }
        }
        expectMissing(SubscribeResult.self)
        expectMissing(SubscribeResult.Subscribed.self)
        expectMissing(SubscribeResult.Failure.self)
        expectMissing(SubscribeResult.Peer.self)
        expectMissing(PushResult.self)
        expectMissing(TokenRefreshResult.self)
        expectMissing(ChunkCount.self)
        expectMissing(PullBegin.self)
        expectMissing(RecordEntry.self)
        expectMissing(PullMembership.self)
        expectMissing(MembershipEntry.self)
        expectMissing(PullFile.self)
        expectMissing(PullCommit.self)
        expectMissing(SyncNotification.self)
        expectMissing(ErrorBody.self)
        expectMissing(SpaceCreateParams.self)
        expectMissing(SpaceCreateResult.self)
        expectMissing(MembershipAppendParams.self)
        expectMissing(MembershipAppendResult.self)
        expectMissing(MembershipListParams.self)
        expectMissing(MembershipListResult.self)
        expectMissing(MembershipRevokeParams.self)
        expectMissing(MembershipNotification.self)
        expectMissing(RevokedNotification.self)
        expectMissing(ResubscribeNotification.self)
        expectMissing(InvitationCreateParams.self)
        expectMissing(InvitationIDParams.self)
        expectMissing(InvitationResult.self)
        expectMissing(InvitationListResult.self)
        expectMissing(PresenceParams.self)
        expectMissing(PresenceClearParams.self)
        expectMissing(PresenceNotification.self)
        expectMissing(PresenceLeaveNotification.self)
    }

    @Test("PushResult: ok decides; a refusal has a known code")
    func pushResult() throws {
        #expect(try self.decode(PushResult.self, "a1 626f6b f5") == .accepted(cursor: 0))
        #expect(
            try self.decode(PushResult.self, "a3 626f6b f5 66637572736f72 f6 656572726f72 f7") == .accepted(cursor: 0))
        #expect(throws: CBORError.missingField) { try self.decode(PushResult.self, "a1 626f6b f4") }
        #expect(throws: CBORError.outOfRange) { try self.decode(PushResult.self, "a2 626f6b f4 656572726f72 6161") }
    }

    @Test("TokenRefreshResult: a refusal without text is a refusal")
    func tokenRefreshResult() throws {
        #expect(try self.decode(TokenRefreshResult.self, "a1 626f6b f4") == TokenRefreshResult(error: ""))
        #expect(try self.decode(TokenRefreshResult.self, "a2 626f6b f5 656572726f72 f6") == TokenRefreshResult())
    }

    @Test("SubscribeResult: lists may be null")
    func subscribeResult() throws {
        #expect(
            try self.decode(SubscribeResult.self, "a2 66737061636573 80 666572726f7273 f6")
                == SubscribeResult(spaces: [])
        )
        let subscribed =
            "a6 626964 6161 66637572736f72 01 6e6b65795f67656e65726174696f6e 02 6c7265777261705f65706f6368 f6"
            + "65746f6b656e f7 657065657273 f7"
        #expect(
            try self.decode(SubscribeResult.Subscribed.self, subscribed)
                == .init(id: "a", cursor: 1, keyGeneration: 2)
        )
    }

    @Test("Identifiers that are no UUID are out of range")
    func identifiers() {
        #expect(throws: CBORError.outOfRange) { try self.decode(RecordEntry.self, "a2 626964 6161 66637572736f72 01") }
    }
}
