import NIOCore
import SyncProtocol
import Testing

@Suite("Frames of the server")
struct FrameEncoderTests {
    private let space = SpaceID(bits: 7)

    private func notification(blobBytes: Int) -> SyncNotification {
        SyncNotification(
            space: self.space, prev: 3, cursor: 9, keyGeneration: 2, rewrapEpoch: 3,
            records: [
                RecordEntry(
                    space: nil, id: RecordID(bits: 1), blob: ByteBuffer(repeating: 1, count: blobBytes), cursor: 9,
                    dek: nil, deleted: false
                )
            ]
        )
    }

    @Test("NTF-6: a sync of exactly 4 MiB is sent, one byte more becomes the nudge")
    func nudge() throws {
        let small = self.notification(blobBytes: 100_000)
        let overhead = FrameEncoder.notificationSize(method: .sync, params: small) - 100_000

        let greatest = self.notification(blobBytes: Limits.messageBytesMax - overhead)
        let frame = FrameEncoder.sync(greatest)
        #expect(frame.readableBytes == Limits.messageBytesMax)
        #expect(try self.decoded(frame) == greatest)

        let tooLarge = self.notification(blobBytes: Limits.messageBytesMax - overhead + 1)
        #expect(
            try self.decoded(FrameEncoder.sync(tooLarge))
                == SyncNotification(
                    space: self.space, prev: 9, cursor: 9, keyGeneration: 2, rewrapEpoch: 3, records: []
                )
        )
    }

    private func decoded(_ frame: ByteBuffer) throws -> SyncNotification {
        guard case .notification(_, let params) = try FrameDecoder.decodeServerFrame(frame) else {
            throw CBORError.typeMismatch
        }
        return try params.decode()
    }

    @Test("rpc §2.6: the greatest change that push accepts fits its pull chunk")
    func pullableChange() {
        let entry = RecordEntry(
            space: "urn:uuid:cf78fa75-e714-5073-8972-126a66255b39", id: RecordID(bits: 1),
            blob: ByteBuffer(repeating: 0, count: Limits.pullableChangeBytesMax - 44), cursor: .max,
            dek: ByteBuffer(repeating: 0, count: 44), deleted: false
        )
        let frame = FrameEncoder.chunk(id: "rpc-18446744073709551615-zzzzzzzz", name: .pullRecord, data: entry)
        #expect(frame.readableBytes <= Limits.messageBytesMax)
    }

    @Test("wire §6: zero values are left out, tombstones have neither blob nor dek")
    func omitted() {
        #expect(hex(FrameEncoder.response(id: "", result: PushResult.accepted(cursor: 0))).hasSuffix("a1626f6bf5"))
        #expect(hex(FrameEncoder.response(id: "", result: SubscribeResult(spaces: []))).hasSuffix("a16673706163657380"))
    }

    @Test("A frame is allocated once, at its size")
    func allocation() {
        // The allocator rounds up to a power of two; growing from a guess would end at twice that.
        let frame = FrameEncoder.sync(self.notification(blobBytes: 1_024 - 200))
        #expect((513...1_024).contains(frame.readableBytes))
        #expect(frame.storageCapacity == 1_024)
    }

    @Test(
        "Server frames that do not decode",
        arguments: [
            "", "f6f6", "a0", "a1647479706501", "a1647479706503", "a2 647479706501 656572726f72 f6",
            "a2 647479706501 656572726f72 a0", "a2 647479706501 656572726f72 a164636f646560",
            "a2 647479706503 6464617461 a0", "a2 647479706501 66726573756c74 1c",
            "a3 647479706501 66726573756c7400 66726573756c7400",
        ]
    )
    func undecodable(hex: String) {
        let error: FrameError = hex.isEmpty ? .empty : .undecodable
        #expect(throws: error) { try FrameDecoder.decodeServerFrame(buffer(hex)) }
    }

    @Test("Requests and unknown types from a server are ignored; members of the future too")
    func tolerated() throws {
        #expect(try FrameDecoder.decodeServerFrame(Fixtures.example("C2")) == .ignored(type: 0))
        #expect(try FrameDecoder.decodeServerFrame(buffer("a1647479706507")) == .ignored(type: 7))
        #expect(
            try FrameDecoder.decodeServerFrame(
                buffer(
                    "a3 647479706501 626964 6161 656572726f72 a3 64636f6465 6162 676d657373616765 6163 6464617461 00")
            ) == .failure(id: "a", error: ErrorBody(code: "b", message: "c"))
        )
        #expect(
            try FrameDecoder.decodeServerFrame(buffer("a3 647479706501 656572726f72 f6 66726573756c74 a0"))
                == .response(id: "", result: FramePayload(item: buffer("a0")))
        )
    }
}
