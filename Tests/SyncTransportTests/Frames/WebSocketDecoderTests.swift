import NIOCore
import SyncProtocol
import SyncTesting
import Testing

@testable import SyncTransport

@Suite("WebSocket decoder")
struct WebSocketDecoderTests {
    typealias Event = WebSocketDecoder.Event

    /// All events of `bytes`, fed in pieces of `step` bytes; the violation that ended them, if one did.
    private func decode(
        _ bytes: ByteBuffer, step: Int = .max, keepsText: Bool = false, limit: Int = Limits.messageBytesMax,
        expectsMask: Bool = true
    ) -> (events: [Event], violation: WebSocketViolation?) {
        var decoder = WebSocketDecoder(expectsMask: expectsMask, keepsText: keepsText, messageBytesMax: limit)
        var rest = bytes
        var events: [Event] = []
        do throws(WebSocketViolation) {
            while rest.readableBytes > 0 {
                let piece = rest.readSlice(length: min(step, rest.readableBytes)) ?? ByteBuffer()
                decoder.append(piece)
                while let event = try decoder.nextEvent() {
                    events.append(event)
                    if case .close = event { return (events, nil) }
                }
            }
        } catch {
            return (events, error)
        }
        return (events, nil)
    }

    static let counts = [0, 1, 3, 4, 5, 7, 8, 9, 125, 126, 127, 1_000, 65_535, 65_536, 70_001]

    @Test("unmasks payloads of every length class", arguments: counts)
    func lengths(count: Int) {
        let payload = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        #expect(decode(TestFrame.binary(payload)).events == [.binary(ByteBuffer(bytes: payload))])
        #expect(decode(TestFrame.binary(payload), step: 1_021).events == [.binary(ByteBuffer(bytes: payload))])
        #expect(decode(TestFrame.binary(payload, mask: nil), expectsMask: false).events.count == 1)
    }

    @Test("a stream cut at every byte decodes the same")
    func everyCut() {
        let stream =
            TestFrame.binary([1, 2, 3]) + TestFrame.ping([9]) + TestFrame(final: false, payload: [4]).bytes
            + TestFrame.pong([7]) + TestFrame(final: false, opcode: 0, payload: []).bytes
            + TestFrame(opcode: 0, payload: Array(repeating: 5, count: 200)).bytes + TestFrame.text("zażółć")
            + TestFrame.close(1000, "bye")
        let expected: [Event] = [
            .binary(ByteBuffer(bytes: [1, 2, 3])), .ping(ByteBuffer(bytes: [9])), .pong,
            .binary(ByteBuffer(bytes: [4] + Array(repeating: 5, count: 200))), .text(ByteBuffer(string: "zażółć")),
            .close(CloseFrame(code: 1000, reason: "bye")),
        ]
        for step in [1, 2, 3, 5, 7, 64, Int.max] {
            #expect(decode(stream, step: step, keepsText: true).events == expected)
        }
        #expect(decode(stream).events[4] == .text(nil))
    }

    @Test("a truncated stream gives neither an event nor a violation")
    func truncated() {
        let frame = TestFrame.binary(Array(repeating: 1, count: 300))
        for count in 0..<frame.readableBytes {
            let (events, violation) = decode(frame.getSlice(at: 0, length: count) ?? ByteBuffer())
            #expect(events.isEmpty && violation == nil)
        }
    }

    static let forbidden: [(frames: ByteBuffer, violation: WebSocketViolation)] = [
        (TestFrame(reserved: 1).bytes, .protocolError("reserved bit set")),
        (TestFrame(reserved: 2, opcode: 0x9).bytes, .protocolError("reserved bit set")),
        (TestFrame(reserved: 4, opcode: 0x8).bytes, .protocolError("reserved bit set")),
        (TestFrame(opcode: 0x3).bytes, .protocolError("reserved opcode")),
        (TestFrame(opcode: 0xB).bytes, .protocolError("reserved opcode")),
        (TestFrame(opcode: 0xF).bytes, .protocolError("reserved opcode")),
        (TestFrame(mask: nil).bytes, .protocolError("unmasked frame")),
        (TestFrame(final: false, opcode: 0x9).bytes, .protocolError("fragmented control frame")),
        (TestFrame(final: false, opcode: 0x8).bytes, .protocolError("fragmented control frame")),
        (
            TestFrame(opcode: 0x9, payload: Array(repeating: 0, count: 126)).bytes,
            .protocolError("control frame too long")
        ),
        (
            TestFrame(opcode: 0x8, payload: [], declaredLength: 70_000).bytes,
            .protocolError("control frame too long")
        ),
        (TestFrame(opcode: 0x0).bytes, .protocolError("unexpected continuation frame")),
        (
            TestFrame(final: false).bytes + TestFrame(opcode: 0x1).bytes, .protocolError("expected continuation frame")
        ),
        (TestFrame(declaredLength: .max).bytes, .protocolError("invalid frame length")),
        (TestFrame(opcode: 0x8, payload: [3]).bytes, .protocolError("truncated close code")),
        (TestFrame(opcode: 0x1, payload: [0xFF]).bytes, .invalidUTF8),
        (TestFrame(opcode: 0x1, payload: [0xC3]).bytes, .invalidUTF8),
        (TestFrame(opcode: 0x8, payload: [0x03, 0xE8, 0xC3]).bytes, .invalidUTF8),
    ]

    @Test("W-64: refuses what RFC 6455 forbids", arguments: forbidden)
    func violations(frames: ByteBuffer, violation: WebSocketViolation) {
        #expect(decode(frames).violation == violation)
        #expect(decode(frames, step: 1).violation == violation)
        #expect(decode(TestFrame.binary([1]) + frames, step: 1).events == [.binary(ByteBuffer(bytes: [1]))])
    }

    @Test("a client refuses masked frames")
    func maskedForClient() {
        #expect(decode(TestFrame.binary([1]), expectsMask: false).violation == .protocolError("masked frame"))
    }

    @Test("refuses from the first header byte on, before the rest arrives")
    func failsFast() {
        #expect(decode(ByteBuffer(bytes: [0xC2])).violation == .protocolError("reserved bit set"))
        #expect(decode(ByteBuffer(bytes: [0x82, 0x05])).violation == .protocolError("unmasked frame"))
        let cut = TestFrame(final: false, opcode: 0x1, payload: [0x61, 0xF4, 0x90]).bytes
        #expect(decode(cut).violation == .invalidUTF8)
    }

    @Test("invalid UTF-8 across fragments is found where it becomes hopeless")
    func fragmentedUTF8() {
        let valid =
            TestFrame(final: false, opcode: 0x1, payload: [0xF0, 0x9F]).bytes + TestFrame.ping()
            + TestFrame(opcode: 0x0, payload: [0x8E, 0x89]).bytes
        #expect(decode(valid, keepsText: true).events == [.ping(ByteBuffer()), .text(ByteBuffer(string: "🎉"))])
        let invalid =
            TestFrame(final: false, opcode: 0x1, payload: [0xF0, 0x9F]).bytes
            + TestFrame(final: false, opcode: 0x0, payload: [0x41]).bytes
        #expect(decode(invalid).violation == .invalidUTF8)
        #expect(decode(invalid, keepsText: true).violation == .invalidUTF8)
    }

    @Test("close codes", arguments: [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999])
    func validCodes(code: UInt16) {
        #expect(decode(TestFrame.close(code, "é")).events == [.close(CloseFrame(code: code, reason: "é"))])
    }

    @Test(
        "close codes that must not be sent",
        arguments: [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2999, 5000, 65_535])
    func invalidCodes(code: UInt16) {
        #expect(decode(TestFrame.close(code)).violation == .protocolError("invalid close code"))
    }

    @Test("a Close frame without payload has no code")
    func emptyClose() {
        #expect(decode(TestFrame.close(nil)).events == [.close(nil)])
    }

    @Test("W-46: a message of exactly the limit is accepted, in one frame and in many")
    func exactLimit() {
        let payload = [UInt8](repeating: 7, count: Limits.messageBytesMax)
        let one = decode(TestFrame.binary(payload), step: 65_536)
        #expect(one.events == [.binary(ByteBuffer(bytes: payload))])
        let half = Array(payload.prefix(Limits.messageBytesMax / 2))
        let two = TestFrame(final: false, payload: half).bytes + TestFrame(opcode: 0, payload: half).bytes
        #expect(decode(two, step: 65_536).events == [.binary(ByteBuffer(bytes: payload))])
    }

    @Test("W-45: one byte more is refused from the header alone")
    func aboveLimit() {
        let header = TestFrame(payload: [], declaredLength: UInt64(Limits.messageBytesMax) + 1).bytes
        #expect(decode(header).violation == .messageTooBig)
        let text = TestFrame(opcode: 0x1, payload: [], declaredLength: UInt64(Limits.messageBytesMax) + 1).bytes
        #expect(decode(text).violation == .messageTooBig)
        let sum =
            TestFrame(final: false, payload: [1, 2]).bytes
            + TestFrame(opcode: 0, payload: [], declaredLength: 3).bytes
        #expect(decode(sum, limit: 4).violation == .messageTooBig)
        #expect(WebSocketViolation.messageTooBig.closeFrame == CloseFrame(code: 1009, reason: "message too big"))
    }

    @Test("dropped text counts towards the limit")
    func droppedTextLimit() {
        let sum =
            TestFrame(final: false, opcode: 0x1, payload: Array("abc".utf8)).bytes
            + TestFrame(opcode: 0, payload: Array("de".utf8)).bytes
        #expect(decode(sum, limit: 4).violation == .messageTooBig)
        #expect(decode(sum, limit: 5).events == [.text(nil)])
    }

    @Test("a flood of empty fragments takes no memory")
    func emptyFragments() throws {
        var decoder = WebSocketDecoder(expectsMask: true)
        decoder.append(TestFrame(final: false, payload: [1]).bytes)
        let started = try decoder.nextEvent()
        #expect(started == nil)
        let empty = TestFrame(final: false, opcode: 0).bytes
        for _ in 0..<100_000 {
            decoder.append(empty)
            let event = try decoder.nextEvent()
            #expect(event == nil)
        }
        #expect(decoder.undecodedBytes == 0)
        decoder.append(TestFrame(opcode: 0, payload: [2]).bytes)
        let message = try decoder.nextEvent()
        #expect(message == .binary(ByteBuffer(bytes: [1, 2])))
    }

    @Test("what is written can be read", arguments: counts, [true, false])
    func roundTrip(count: Int, masked: Bool) {
        let payload = ByteBuffer(bytes: (0..<count).map { UInt8(truncatingIfNeeded: $0) })
        var buffer = ByteBuffer(bytes: [0xAA])
        buffer.writeFrame(.binary, payload: payload, mask: masked ? MaskingKey.random() : nil)
        buffer.moveReaderIndex(forwardBy: 1)
        #expect(decode(buffer, expectsMask: masked).events == [.binary(payload)])
    }

    @Test(
        "noise gives events or one violation, never a trap or a message over the limit",
        arguments: 0..<20 as Range<UInt64>)
    func noise(seed: UInt64) {
        var generator = SeededRandom(seed: seed)
        for _ in 0..<500 {
            var bytes = ByteBuffer()
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                var frame = TestFrame()
                frame.final = Bool.random(using: &generator)
                frame.opcode = UInt8.random(in: 0...15, using: &generator)
                frame.reserved = UInt8.random(in: 0...8, using: &generator) / 8
                frame.payload = (0..<Int.random(in: 0...200, using: &generator)).map { _ in
                    UInt8.random(in: 0...255, using: &generator)
                }
                if Int.random(in: 0...20, using: &generator) == 0 {
                    frame.declaredLength = UInt64.random(in: 0 ... .max, using: &generator)
                }
                bytes.writeImmutableBuffer(frame.bytes)
            }
            let whole = decode(bytes, limit: 300)
            let pieces = decode(bytes, step: 1, limit: 300)
            #expect(whole.events == pieces.events && whole.violation == pieces.violation)
            for case .binary(let message) in whole.events { #expect(message.readableBytes <= 300) }
        }
    }

    @Test("close frames of violations")
    func closeFrames() {
        #expect(WebSocketViolation.invalidUTF8.closeFrame.code == 1007)
        #expect(WebSocketViolation.protocolError("x").closeFrame == CloseFrame(code: 1002, reason: "x"))
    }
}
