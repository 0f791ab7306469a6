import NIOCore
import SyncProtocol
import SyncTesting
import Testing

@Suite("Client frames")
struct FrameDecoderTests {
    private func decode(_ hex: String) throws -> ClientFrame { try FrameDecoder.decodeClientFrame(buffer(hex)) }

    @Test("W-31, W-32, W-33, W-34, W-37, W-39: the table of inputs", arguments: Fixtures.inboundMessages)
    func table(input: Fixtures.InboundMessage) throws {
        let decoded: ClientFrame
        do {
            decoded = try FrameDecoder.decodeClientFrame(buffer(input.hex))
        } catch {
            #expect(input.reaction == .close)
            #expect(error.close == .protocolError(input.value ?? ""))
            return
        }
        switch input.reaction {
        case .close: Issue.record("decoded as \(decoded)")
        case .keepalive: #expect(decoded == .keepalive)
        case .ignored: #expect(decoded == .ignored(type: try #require(input.value.flatMap { Int32($0) })))
        case .notification:
            #expect(decoded == .notification(.init(method: "", params: FramePayload(item: nil))))
        case .request: #expect(decoded == .request(.init(id: "", method: "", params: FramePayload(item: nil))))
        }
    }

    @Test("W-40: a chunk is ignored, whatever else it holds")
    func chunk() throws {
        for example in ["S6", "S7", "S8"] {
            #expect(try FrameDecoder.decodeClientFrame(Fixtures.example(example)) == .ignored(type: 3))
        }
    }

    @Test("W-35, W-36: a request carries its id, or the empty one")
    func requests() throws {
        let params = FramePayload(item: buffer("a0"))
        #expect(
            try FrameDecoder.decodeClientFrame(Fixtures.example("C11"))
                == .request(.init(id: "", method: "nonexistent.method", params: params))
        )
        #expect(
            try self.decode("a4 647479706500 626964657265712d31 666d6574686f646170 66706172616d73a0")
                == .request(.init(id: "req-1", method: "p", params: params))
        )
    }

    @Test("W-38: a notification of an unknown method decodes")
    func unknownNotification() throws {
        let frame = try self.decode("a2 647479706502 666d6574686f64 72 736f6d652e756e6b6e6f776e2e6576656e74")
        #expect(frame == .notification(.init(method: "some.unknown.event", params: FramePayload(item: nil))))
    }

    @Test(
        "wire §7.1: envelopes that do not decode",
        arguments: [
            ("a2 647479706500 647479706500", "type twice"),
            ("a3 647479706500 62696460 62696460", "id twice"),
            ("a3 647479706500 666d6574686f6460 666d6574686f6460", "method twice"),
            ("a3 647479706502 62696460 62696460", "id twice in a notification"),
            ("a2 647479706500 01 02", "a key that is a number"),
            ("a2 647479706500 4161 02", "a key that is a byte string"),
            ("a2 647479706500 f6 02", "a key that is null"),
            ("c1 a1 647479706500", "a tag before the map"),
            ("a1 6474797065 6130", "type as text"),
            ("a1 6474797065 f6", "type null"),
            ("a1 6474797065 f5", "type true"),
            ("a1 6474797065 c100", "type with a tag"),
            ("a1 6474797065 1a80000000", "type above 32 bits"),
            ("a1 6474797065 3a80000000", "type below 32 bits"),
            ("a1 6474797065 fb0000000000000000", "type as double"),
            ("a2 647479706500 626964 00", "id as number"),
            ("a2 647479706500 626964 4161", "id as byte string"),
            ("a2 647479706500 626964 f7", "id undefined"),
            ("a2 647479706500 666d6574686f64 f6", "method null"),
            ("a2 647479706500 666d6574686f64 00", "method as number"),
            ("a2 647479706500 626964 61ff", "id not UTF-8"),
            ("a2 647479706500 66706172616d73 61ff", "C21: params not UTF-8"),
            ("a2 647479706500 66706172616d73 a1 6161 61ff", "C21: an unknown value in params not UTF-8"),
            ("a2 647479706500 6161 a1 61ff 00", "C21: an unknown key not UTF-8"),
            ("a2 647479706500 61ff 00", "C21: a key not UTF-8"),
            ("a2 647479706500 66706172616d73 1c", "params malformed"),
            ("a2 647479706500 66706172616d73 ff", "params a break"),
            ("a2 647479706500 66706172616d73 f800", "params a wrong simple value"),
            ("a2 647479706500 66706172616d73 82 00", "params truncated"),
            ("a2 647479706500 66706172616d73", "params missing behind its key"),
            ("a1 666d6574686f6460", "no type"),
            ("bf 647479706500", "an indefinite map without an end"),
            ("bf 647479706500 66706172616d73 ff", "an indefinite map that ends before a value"),
            ("00", "a number"), ("60", "a text"), ("f5", "true"), ("f7", "undefined"), ("ff", "a break"),
        ]
    )
    func undecodable(hex: String, reason: String) {
        #expect(throws: FrameError.undecodable, "\(reason)") { try self.decode(hex) }
    }

    @Test("W-48: an id and a method have at most 512 bytes of UTF-8", arguments: ["x", "é", "😀"])
    func longNames(character: String) throws {
        func request(_ id: String, _ method: String) throws -> ClientFrame {
            let texts = [id, method].map { text in
                "79" + String(text.utf8.count + 0x10000, radix: 16).dropFirst()
                    + text.utf8.map { String(Int($0) + 0x100, radix: 16).dropFirst() }.joined()
            }
            return try self.decode("a4 647479706500 626964\(texts[0]) 666d6574686f64\(texts[1]) 66706172616d73a0")
        }
        let most = String(repeating: character, count: 512 / character.utf8.count)
        for (id, method) in [(most, "p"), ("a", most), (most, most)] {
            let params = FramePayload(item: buffer("a0"))
            #expect(try request(id, method) == .request(.init(id: id, method: method, params: params)))
        }
        #expect(throws: FrameError.undecodable) { try request(most + "x", "p") }
        #expect(throws: FrameError.undecodable) { try request("a", most + "x") }
    }

    @Test("W-43, wire §7.1: extra keys, any width of type, any order, trailing bytes")
    func tolerated() throws {
        let expected = ClientFrame.request(.init(id: "a", method: "p", params: FramePayload(item: buffer("a0"))))
        for hex in [
            "a4 647479706500 6269646161 666d6574686f646170 66706172616d73a0",
            "a4 66706172616d73a0 666d6574686f646170 6269646161 647479706500",
            "a4 6474797065 1b0000000000000000 6269646161 666d6574686f646170 66706172616d73a0",
            "a7 6161 f97e00 6161 c1fb41d452d9ec200000 647479706500 6269646161 646e616d65 f6 666d6574686f646170 66706172616d73a0",
            "bf 647479706500 6269646161 666d6574686f646170 66706172616d73a0 ff",
            "a4 647479706500 6269646161 666d6574686f646170 66706172616d73a0 ffff1c",
            "a4 7804 74797065 00 780269646161 790006 6d6574686f64 7f6170ff 66706172616d73a0",
            "b90004 647479706500 626964 7f6161ff 666d6574686f646170 66706172616d73a0",
        ] {
            #expect(try self.decode(hex) == expected, "\(hex)")
        }
        #expect(try self.decode("a1 6474797065 1a7fffffff") == .ignored(type: .max))
        #expect(try self.decode("a1 6474797065 3a7fffffff") == .ignored(type: .min))
    }

    @Test("wire §7.2: params missing or twice fail their decoding, not the envelope")
    func paramsMissingOrTwice() throws {
        for hex in [
            "a1 647479706500",
            "a3 647479706500 66706172616d73 a166737061636573 80 66706172616d73 a166737061636573 80",
            "a4 647479706500 66706172616d73 a0 66706172616d73 a0 66706172616d73 a166737061636573 80",
        ] {
            guard case .request(let request) = try self.decode(hex) else {
                Issue.record("\(hex) is no request")
                continue
            }
            #expect(throws: CBORError.missingField) { try request.params.decode(as: SubscribeParams.self) }
        }
    }

    @Test("wire §7.2: the frame's map is one of the 64 levels", arguments: [(63, true), (64, false)])
    func depth(levels: Int, isAccepted: Bool) throws {
        let hex = "a2 647479706502 66706172616d73" + String(repeating: "81", count: levels) + "00"
        if isAccepted {
            #expect(throws: Never.self) { try self.decode(hex) }
        } else {
            #expect(throws: FrameError.undecodable) { try self.decode(hex) }
        }
    }

    @Test("W-46: a message of the greatest size decodes and its blob is not copied")
    func greatestMessage() throws {
        let overhead =
            FrameEncoder.request(id: "a", method: .push, params: Self.push(blobBytes: 100_000)).readableBytes - 100_000
        let message = FrameEncoder.request(
            id: "a", method: .push, params: Self.push(blobBytes: Limits.messageBytesMax - overhead)
        )
        #expect(message.readableBytes == Limits.messageBytesMax)
        guard case .request(let request) = try FrameDecoder.decodeClientFrame(message) else {
            Issue.record("no request")
            return
        }
        let params = try request.params.decode(as: PushParams.self)
        let blob = try #require(params.changes.first?.blob)
        #expect(blob.readableBytes == Limits.messageBytesMax - overhead)
        #expect(Self.lies(blob, inside: message))
    }

    @Test("A4: of a push of 1,000 records no blob and no DEK is copied")
    func largePush() throws {
        let changes = (0..<1_000).map { number in
            PushParams.Change(
                id: RecordID.fixtureText(number), blob: ByteBuffer(repeating: 7, count: 1 + number), expectedCursor: 0,
                dek: .wrappedDEK())
        }
        let message = FrameEncoder.request(id: "a", method: .push, params: PushParams(space: "s", changes: changes))
        guard case .request(let request) = try FrameDecoder.decodeClientFrame(message) else {
            Issue.record("no request")
            return
        }
        let params = try request.params.decode(as: PushParams.self)
        #expect(params.changes == changes)
        let payloads = params.changes.flatMap { [$0.blob, $0.dek] }.compactMap { $0 }
        #expect(payloads.count == 2_000)
        #expect(payloads.allSatisfy { Self.lies($0, inside: message) })
    }

    /// Whether the bytes of `part` are in the very memory of `whole`.
    private static func lies(_ part: ByteBuffer, inside whole: ByteBuffer) -> Bool {
        whole.withUnsafeReadableBytes { whole in
            part.withUnsafeReadableBytes { part in
                guard let start = part.baseAddress, let base = whole.baseAddress else { return false }
                return start > base && start + part.count <= base + whole.count
            }
        }
    }

    private static func push(blobBytes: Int) -> PushParams {
        PushParams(
            space: "s",
            changes: [.init(id: "r", blob: ByteBuffer(repeating: 7, count: blobBytes), expectedCursor: 0, dek: nil)]
        )
    }
}

@Suite("Auth frame")
struct AuthFrameTests {
    private func token(_ hex: String) throws -> String { try FrameDecoder.decodeAuthToken(buffer(hex)) }

    @Test("W-15: C1 holds the token T")
    func example() throws { #expect(try FrameDecoder.decodeAuthToken(Fixtures.example("C1")) == "T") }

    @Test("wire §4: unknown keys are ignored, id included; indefinite maps are fine")
    func tolerated() throws {
        for hex in [
            "a4 647479706502 626964f6 666d6574686f646461757468 66706172616d73a165746f6b656e6154",
            "a5 647479706502 62696400 62696400 666d6574686f646461757468 66706172616d73a165746f6b656e6154",
            "bf 66706172616d73 bf 6161 00 65746f6b656e 6154 ff 666d6574686f646461757468 647479706502 ff 00",
        ] {
            #expect(try self.token(hex) == "T")
        }
    }

    @Test(
        "wire §4: each failure has its reason",
        arguments: [
            ("", AuthFrameError.empty),
            ("f6", .undecodable),
            ("a0", .undecodable),
            ("a5", .undecodable),
            ("60", .undecodable),
            ("a2 666d6574686f646461757468 66706172616d73a165746f6b656e6154", .undecodable),
            ("a2 647479706502 66706172616d73a165746f6b656e6154", .undecodable),
            ("a2 647479706502 666d6574686f646461757468", .undecodable),
            ("a3 6474797065 6132 666d6574686f646461757468 66706172616d73a165746f6b656e6154", .undecodable),
            ("a3 6474797065 1a80000000 666d6574686f646461757468 66706172616d73a165746f6b656e6154", .undecodable),
            ("a3 647479706502 666d6574686f64 4461757468 66706172616d73a165746f6b656e6154", .undecodable),
            ("a3 647479706502 666d6574686f646461757468 66706172616d73 6154", .undecodable),
            ("a3 647479706502 666d6574686f646461757468 66706172616d73 a0", .undecodable),
            ("a3 647479706502 666d6574686f646461757468 66706172616d73 a165746f6b656e f6", .undecodable),
            ("a3 647479706502 666d6574686f646461757468 66706172616d73 a165746f6b656e 4154", .undecodable),
            ("a3 647479706502 666d6574686f646461757468 66706172616d73 f6", .undecodable),
            ("a3 647479706500 666d6574686f64697375627363726962 65 66706172616d73 a0", .undecodable),
            ("a4 647479706502 647479706502 666d6574686f646461757468 66706172616d73a165746f6b656e6154", .undecodable),
            ("a3 647479706500 666d6574686f646461757468 66706172616d73a165746f6b656e6154", .notAuthNotification),
            ("a3 647479706501 666d6574686f646461757468 66706172616d73a165746f6b656e60", .notAuthNotification),
            ("a3 647479706502 666d6574686f646441757468 66706172616d73a165746f6b656e6154", .notAuthNotification),
            ("a3 647479706502 666d6574686f6460 66706172616d73a165746f6b656e6154", .notAuthNotification),
            ("a3 647479706502 666d6574686f646461757468 66706172616d73a165746f6b656e60", .emptyToken),
        ]
    )
    func failures(hex: String, error: AuthFrameError) {
        #expect(throws: error) { try self.token(hex) }
    }

    @Test(
        "W-13, W-18: close frames",
        arguments: [
            (AuthFrameError.empty, "empty auth frame"),
            (.undecodable, "invalid auth frame"),
            (.notAuthNotification, "first frame must be an auth notification"),
            (.emptyToken, "empty auth token"),
        ]
    )
    func closes(error: AuthFrameError, reason: String) {
        #expect(error.close == CloseFrame(code: 4000, reason: reason))
    }

    @Test("W-13: a subscribe request first is an invalid auth frame")
    func requestFirst() {
        #expect(throws: AuthFrameError.undecodable) { try FrameDecoder.decodeAuthToken(Fixtures.example("C2")) }
        #expect(throws: AuthFrameError.notAuthNotification) { try FrameDecoder.decodeAuthToken(Fixtures.example("C7")) }
    }
}
