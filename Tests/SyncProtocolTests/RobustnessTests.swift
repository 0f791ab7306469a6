import NIOCore
import SyncProtocol
import SyncTesting
import Testing

/// Whatever arrives, decoding ends with a value or an error.
@Suite("Robustness", .timeLimit(.minutes(2)))
struct RobustnessTests {
    /// Every decoder on one message.
    private func decodeAll(_ message: ByteBuffer) {
        _ = try? FrameDecoder.decodeAuthToken(message)
        switch try? FrameDecoder.decodeClientFrame(message) {
        case .request(let request): self.decodeAll(request.params)
        case .notification(let notification): self.decodeAll(notification.params)
        case .keepalive, .ignored, nil: break
        }
        switch try? FrameDecoder.decodeServerFrame(message) {
        case .response(_, let payload), .chunk(_, _, let payload), .notification(_, let payload):
            self.decodeAll(payload)
        case .keepalive, .ignored, .failure, nil: break
        }
    }

    private func decodeAll(_ payload: FramePayload) {
        _ = try? payload.decode(as: SubscribeParams.self)
        _ = try? payload.decode(as: UnsubscribeParams.self)
        _ = try? payload.decode(as: PushParams.self)
        _ = try? payload.decode(as: PullParams.self)
        _ = try? payload.decode(as: TokenParams.self)
        _ = try? payload.decode(as: SubscribeResult.self)
        _ = try? payload.decode(as: PushResult.self)
        _ = try? payload.decode(as: TokenRefreshResult.self)
        _ = try? payload.decode(as: ChunkCount.self)
        _ = try? payload.decode(as: PullBegin.self)
        _ = try? payload.decode(as: RecordEntry.self)
        _ = try? payload.decode(as: PullMembership.self)
        _ = try? payload.decode(as: PullFile.self)
        _ = try? payload.decode(as: PullCommit.self)
        _ = try? payload.decode(as: SyncNotification.self)
        _ = try? payload.decode(as: SpaceCreateParams.self)
        _ = try? payload.decode(as: SpaceCreateResult.self)
        _ = try? payload.decode(as: MembershipAppendParams.self)
        _ = try? payload.decode(as: MembershipAppendResult.self)
        _ = try? payload.decode(as: MembershipListParams.self)
        _ = try? payload.decode(as: MembershipListResult.self)
        _ = try? payload.decode(as: MembershipRevokeParams.self)
        _ = try? payload.decode(as: MembershipNotification.self)
        _ = try? payload.decode(as: RevokedNotification.self)
        _ = try? payload.decode(as: ResubscribeNotification.self)
        _ = try? payload.decode(as: EmptyMap.self)
        _ = try? payload.decode(as: InvitationCreateParams.self)
        _ = try? payload.decode(as: InvitationListParams.self)
        _ = try? payload.decode(as: InvitationIDParams.self)
        _ = try? payload.decode(as: InvitationListResult.self)
        _ = try? payload.decode(as: EpochBeginParams.self)
        _ = try? payload.decode(as: EpochBeginResult.self)
        _ = try? payload.decode(as: EpochConflict.self)
        _ = try? payload.decode(as: EpochCompleteParams.self)
        _ = try? payload.decode(as: DEKsGetParams.self)
        _ = try? payload.decode(as: DEKsGetResult<RecordDEKEntry>.self)
        _ = try? payload.decode(as: DEKsGetResult<FileDEKEntry>.self)
        _ = try? payload.decode(as: RecordDEKEntry.self)
        _ = try? payload.decode(as: FileDEKEntry.self)
        _ = try? payload.decode(as: DEKsRewrapParams.self)
        _ = try? payload.decode(as: DEKsRewrapResult.self)
        _ = try? payload.decode(as: FileNotification.self)
        _ = try? payload.decode(as: PresenceParams.self)
        _ = try? payload.decode(as: PresenceClearParams.self)
        _ = try? payload.decode(as: PresenceNotification.self)
        _ = try? payload.decode(as: PresenceLeaveNotification.self)
    }

    @Test("W-32: every example cut at every byte is an error", arguments: Fixtures.wireExamples)
    func truncated(example: Fixtures.WireExample) {
        let message = example.message
        for length in 0..<message.readableBytes {
            let part = message.getSlice(at: message.readerIndex, length: length) ?? ByteBuffer()
            let error: FrameError = length == 0 ? .empty : .undecodable
            #expect(throws: error) { try FrameDecoder.decodeClientFrame(part) }
            #expect(throws: error) { try FrameDecoder.decodeServerFrame(part) }
            #expect(throws: length == 0 ? AuthFrameError.empty : .undecodable) {
                try FrameDecoder.decodeAuthToken(part)
            }
        }
    }

    @Test("Every example with one byte changed is survived", arguments: Fixtures.wireExamples)
    func mutated(example: Fixtures.WireExample) {
        let bytes = Array(example.message.readableBytesView)
        for index in bytes.indices {
            for value in [bytes[index] ^ 0x01, bytes[index] ^ 0x20, bytes[index] ^ 0x80, 0x00, 0x1B, 0x5F, 0x9F, 0xFF] {
                var changed = bytes
                changed[index] = value
                self.decodeAll(ByteBuffer(bytes: changed))
            }
        }
    }

    @Test("Examples with bytes inserted, removed and exchanged at random are survived", arguments: 0..<4)
    func spliced(seed: UInt64) {
        var generator = SeededRandom(seed: seed)
        let examples = Fixtures.wireExamples.map { Array($0.message.readableBytesView) }
        for _ in 0..<2_000 {
            var bytes = examples.randomElement(using: &generator) ?? []
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let at = Int.random(in: 0...bytes.count, using: &generator)
                let end = Int.random(in: at...min(bytes.count, at + 8), using: &generator)
                let other = examples.randomElement(using: &generator) ?? []
                let from = Int.random(in: 0...other.count, using: &generator)
                bytes.replaceSubrange(at..<end, with: other[from..<min(other.count, from + 8)])
            }
            self.decodeAll(ByteBuffer(bytes: bytes))
        }
    }

    @Test("Random bytes are survived", arguments: 0..<4)
    func random(seed: UInt64) {
        var generator = SeededRandom(seed: 100 + seed)
        for _ in 0..<5_000 {
            let bytes = (0..<Int.random(in: 0..<64, using: &generator)).map { _ in
                UInt8.random(in: 0...255, using: &generator)
            }
            self.decodeAll(ByteBuffer(bytes: bytes))
            // Behind the head of a map, so that more of them get far.
            self.decodeAll(ByteBuffer(bytes: [0xA2, 0x64] + Array("type".utf8) + bytes))
        }
    }

    @Test("Random items are skipped exactly, in any of their encodings", arguments: 0..<4)
    func skipExactly(seed: UInt64) throws {
        var generator = SeededRandom(seed: 200 + seed)
        for _ in 0..<1_000 {
            let item = CBORItem.random(depth: 5, using: &generator)
            var bytes: [UInt8] = []
            item.encode(to: &bytes, hasDefiniteKeys: false, using: &generator)
            var reader = CBORReader(ByteBuffer(bytes: bytes + [0x07]))
            #expect(throws: Never.self, "\(bytes)") { try reader.skip() }
            #expect(reader.remainingBytes == 1, "\(bytes)")
        }
    }

    @Test("A frame full of the smallest items is linear work")
    func manySmallItems() throws {
        let head = buffer("a2 647479706502 66706172616d73")
        for item: UInt8 in [0x00, 0x60, 0x80, 0xA0] {
            var message = head
            message.writeBytes([0x9F])
            message.writeRepeatingByte(item, count: 200_000)
            message.writeBytes([0xFF])
            guard case .notification(let notification) = try FrameDecoder.decodeClientFrame(message) else {
                Issue.record("no notification")
                continue
            }
            self.decodeAll(notification.params)
        }
    }
}

/// Messages survive the way there and back, in any encoding that a client may choose.
@Suite("Round trips", .timeLimit(.minutes(2)))
struct RoundTripTests {
    private func expectRoundTrip<Message: WireDecodable & WireEncodable & Equatable>(
        _ message: Message, using generator: inout SeededRandom
    ) throws {
        var writer = CBORWriter()
        message.encode(to: &writer)
        #expect(message.encodedSize == writer.buffer.readableBytes)
        #expect(try FramePayload(item: writer.buffer).decode() == message)

        // A tombstone's null is the only thing that a client writes and a server does not.
        var bytes = Array(writer.buffer.readableBytesView)[...]
        guard let item = CBORItem(serverForm: &bytes) else {
            #expect(Message.self == PushParams.self, "\(hex(writer.buffer))")
            return
        }
        #expect(bytes.isEmpty)
        var perturbed: [UInt8] = []
        item.perturbed(using: &generator).encode(to: &perturbed, hasDefiniteKeys: true, using: &generator)
        #expect(try FramePayload(item: ByteBuffer(bytes: perturbed)).decode() == message, "\(perturbed)")
    }

    @Test("Random messages", arguments: 0..<10)
    func messages(seed: UInt64) throws {
        var random = SeededRandom(seed: 300 + seed)
        for _ in 0..<50 {
            try self.expectRoundTrip(TokenParams(token: random.text()), using: &random)
            try self.expectRoundTrip(TokenRefreshResult(error: random.optional { $0.text() }), using: &random)
            try self.expectRoundTrip(UnsubscribeParams(spaces: random.array { $0.text() }), using: &random)
            try self.expectRoundTrip(ChunkCount(chunks: random.int64()), using: &random)
            try self.expectRoundTrip(ErrorBody(code: random.text(), message: random.text()), using: &random)
            try self.expectRoundTrip(
                SubscribeParams(
                    spaces: random.array {
                        .init(id: $0.text(), since: $0.int64(), ucan: $0.text(), token: $0.text(), presence: $0.bool())
                    }
                ), using: &random
            )
            try self.expectRoundTrip(
                SubscribeResult(
                    spaces: random.array {
                        .init(
                            id: $0.text(), cursor: $0.int64(), keyGeneration: $0.int32(),
                            rewrapEpoch: $0.optional { $0.int32() }, token: $0.text(),
                            peers: $0.array { .init(peer: $0.text(), data: $0.bytes()) }
                        )
                    },
                    errors: random.array { .init(space: $0.text(), error: $0.code()) }
                ), using: &random
            )
            try self.expectRoundTrip(
                PushParams(
                    space: random.text(), ucan: random.text(),
                    changes: random.array {
                        .init(
                            id: $0.text(), blob: $0.optional { $0.bytes() }, expectedCursor: $0.int64(),
                            dek: $0.optional { $0.bytes() }
                        )
                    }
                ), using: &random
            )
            try self.expectRoundTrip(
                random.bool() ? PushResult.accepted(cursor: random.int64()) : .refused(random.code()), using: &random
            )
            try self.expectRoundTrip(
                PullParams(spaces: random.array { .init(id: $0.text(), since: $0.int64(), ucan: $0.text()) }),
                using: &random
            )
            try self.expectRoundTrip(
                PullBegin(
                    space: random.text(), prev: random.int64(), cursor: random.int64(), keyGeneration: random.int32(),
                    rewrapEpoch: random.optional { $0.int32() }
                ), using: &random
            )
            try self.expectRoundTrip(
                random.record(space: random.optional { $0.text() }), using: &random
            )
            try self.expectRoundTrip(
                PullMembership(
                    space: random.text(), cursor: random.int64(),
                    entries: random.array { $0.member() }
                ), using: &random
            )
            try self.expectRoundTrip(
                PullFile(
                    space: random.text(), id: random.id(), recordID: random.id(), size: random.int64(),
                    dek: random.bytes(), cursor: random.int64(), deleted: random.bool()
                ), using: &random
            )
            try self.expectRoundTrip(
                PullCommit(
                    space: random.text(), prev: random.int64(), cursor: random.int64(), count: random.int64()
                ), using: &random
            )
            try self.expectRoundTrip(
                SyncNotification(
                    space: random.id(), prev: random.int64(), cursor: random.int64(), keyGeneration: random.int32(),
                    rewrapEpoch: random.optional { $0.int32() }, records: random.array { $0.record(space: nil) }
                ), using: &random
            )
        }
    }

    @Test("Messages of shared spaces read back what was written", arguments: 0..<40 as Range<UInt64>)
    func sharedRoundTrips(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        try self.expectRoundTrip(SpaceCreateParams(id: random.text(), rootPublicKey: random.bytes()), using: &random)
        try self.expectRoundTrip(
            SpaceCreateResult(id: random.id(), keyGeneration: random.int32()), using: &random)
        try self.expectRoundTrip(
            MembershipAppendParams(
                space: random.text(), ucan: random.text(), expectedVersion: random.int32(),
                previousHash: random.optional { $0.bytes() }, entryHash: random.bytes(), payload: random.bytes()),
            using: &random)
        try self.expectRoundTrip(
            MembershipAppendResult(chainSequence: random.int32(), metadataVersion: random.int32()), using: &random)
        try self.expectRoundTrip(
            MembershipListParams(space: random.text(), ucan: random.text(), sinceSequence: random.int32()),
            using: &random)
        try self.expectRoundTrip(
            MembershipListResult(entries: random.array { $0.member() }, metadataVersion: random.int32()),
            using: &random)
        try self.expectRoundTrip(
            MembershipRevokeParams(space: random.text(), ucan: random.text(), ucanCID: random.text()), using: &random)
        try self.expectRoundTrip(
            MembershipNotification(
                space: random.id(), cursor: random.int64(), entries: random.array { $0.member() }), using: &random)
        try self.expectRoundTrip(RevokedNotification(space: random.id(), reason: random.text()), using: &random)
        try self.expectRoundTrip(ResubscribeNotification(spaces: random.array { $0.text() }), using: &random)
        try self.expectRoundTrip(EmptyMap(), using: &random)
    }

    @Test("Messages of epochs, DEKs and files read back what was written", arguments: 0..<40 as Range<UInt64>)
    func epochRoundTrips(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        try self.expectRoundTrip(
            EpochBeginParams(
                space: random.text(), ucan: random.text(), epoch: random.int32(), setsMinKeyGeneration: random.bool()),
            using: &random)
        let conflict = EpochConflict(
            error: random.text(), currentEpoch: random.int32(), rewrapEpoch: random.optional { $0.int32() })
        try self.expectRoundTrip(conflict, using: &random)
        try self.expectRoundTrip(
            random.bool() ? EpochBeginResult.begun(epoch: random.int32()) : .conflict(conflict), using: &random)
        try self.expectRoundTrip(
            EpochCompleteParams(space: random.text(), ucan: random.text(), epoch: random.int32()), using: &random)
        try self.expectRoundTrip(
            DEKsGetParams(space: random.text(), ucan: random.text(), since: random.int64()), using: &random)
        try self.expectRoundTrip(
            DEKsGetResult(
                deks: random.array { RecordDEKEntry(id: $0.id(), dek: $0.bytes(), cursor: $0.int64()) },
                chunks: random.int64()), using: &random)
        try self.expectRoundTrip(
            DEKsGetResult(
                deks: random.array { FileDEKEntry(id: $0.id(), dek: $0.bytes(), cursor: $0.int64()) },
                chunks: random.int64()), using: &random)
        try self.expectRoundTrip(
            DEKsRewrapParams(
                space: random.text(), ucan: random.text(), deks: random.array { .init(id: $0.text(), dek: $0.bytes()) }),
            using: &random)
        try self.expectRoundTrip(DEKsRewrapResult(ok: random.bool(), count: random.int64()), using: &random)
        try self.expectRoundTrip(
            FileNotification(
                space: random.id(), cursor: random.int64(),
                files: random.array {
                    .init(
                        id: $0.id(), recordID: $0.id(), size: $0.int64(), dek: $0.optional { $0.bytes() },
                        deleted: $0.bool())
                }), using: &random)
    }

    @Test("Messages of invitations and presence read back what was written", arguments: 0..<40 as Range<UInt64>)
    func invitationRoundTrips(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        try self.expectRoundTrip(
            InvitationCreateParams(mailboxID: random.text(), payload: random.text(), server: random.text()),
            using: &random)
        try self.expectRoundTrip(
            InvitationListParams(limit: random.int32(), after: random.text()), using: &random)
        try self.expectRoundTrip(InvitationIDParams(id: random.text()), using: &random)
        try self.expectRoundTrip(
            InvitationListResult(
                invitations: random.array {
                    .init(id: $0.text(), payload: $0.text(), createdAt: $0.text(), expiresAt: $0.text())
                }), using: &random)
        try self.expectRoundTrip(PresenceParams(space: random.text(), data: random.bytes()), using: &random)
        try self.expectRoundTrip(PresenceClearParams(space: random.text()), using: &random)
        try self.expectRoundTrip(
            PresenceNotification(space: random.id(), peer: random.text(), data: random.bytes()), using: &random)
        try self.expectRoundTrip(
            PresenceLeaveNotification(space: random.id(), peer: random.text()), using: &random)
    }
}

extension CBORItem {
    /// The same message to a tolerant reader: keys in another order, unknown ones among them.
    fileprivate func perturbed(using generator: inout SeededRandom) -> CBORItem {
        switch self {
        case .array(let items): return .array(items.map { $0.perturbed(using: &generator) })
        case .map(let pairs):
            var pairs = pairs.map { Pair(key: $0.key, value: $0.value.perturbed(using: &generator)) }
            for _ in 0..<Int.random(in: 0..<3, using: &generator) {
                let key = "x-" + Self.randomText(using: &generator)
                pairs.append(Pair(key: .text(key), value: .random(depth: 2, using: &generator)))
            }
            return .map(pairs.shuffled(using: &generator))
        default: return self
        }
    }
}

extension SeededRandom {
    fileprivate mutating func bool() -> Bool { Bool.random(using: &self) }

    /// Any magnitude is as likely as another.
    fileprivate mutating func int64() -> Int64 {
        Int64.random(in: .min ... .max, using: &self) >> Int64.random(in: 0..<64, using: &self)
    }

    fileprivate mutating func int32() -> Int32 {
        Int32.random(in: .min ... .max, using: &self) >> Int32.random(in: 0..<32, using: &self)
    }

    fileprivate mutating func text() -> String { CBORItem.randomText(using: &self) }

    fileprivate mutating func bytes() -> ByteBuffer {
        ByteBuffer(
            bytes: (0..<Int.random(in: 0..<300, using: &self)).map { _ in UInt8.random(in: 0...255, using: &self) })
    }

    fileprivate mutating func id<Subject>() -> Identifier<Subject> {
        Identifier(bits: UInt128.random(in: 0 ... .max, using: &self))
    }

    fileprivate mutating func code() -> RPCErrorCode { RPCErrorCode.allCases.randomElement(using: &self) ?? .internal }

    fileprivate mutating func optional<Value>(_ make: (inout Self) -> Value) -> Value? {
        self.bool() ? make(&self) : nil
    }

    fileprivate mutating func array<Value>(_ make: (inout Self) -> Value) -> [Value] {
        var values: [Value] = []
        for _ in 0..<Int.random(in: 0..<4, using: &self) { values.append(make(&self)) }
        return values
    }

    fileprivate mutating func member() -> MembershipEntry {
        MembershipEntry(
            chainSequence: self.int32(), previousHash: self.optional { $0.bytes() }, entryHash: self.bytes(),
            payload: self.bytes())
    }

    fileprivate mutating func record(space: String?) -> RecordEntry {
        RecordEntry(
            space: space, id: self.id(), blob: self.optional { $0.bytes() }, cursor: self.int64(),
            dek: self.optional { $0.bytes() }, deleted: self.bool()
        )
    }
}
