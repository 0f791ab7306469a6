import NIOCore
import SyncTesting
import Testing

@testable import SyncProtocol

@Suite("Message run")
struct MessageRunTests {
    private func message(_ length: Int, _ byte: UInt8 = 7) -> ByteBuffer { ByteBuffer(repeating: byte, count: length) }

    /// RFC 6455 §5.2: FIN and binary, no mask, 126, the length.
    private func frame(_ message: ByteBuffer) -> ByteBuffer {
        var frame = ByteBuffer(bytes: [0x82, 126])
        frame.writeInteger(UInt16(message.readableBytes))
        frame.writeImmutableBuffer(message)
        return frame
    }

    @Test("Each message stands behind the header of a whole unmasked binary frame")
    func frames() {
        var run = MessageRun()
        var expected = ByteBuffer()
        for (index, length) in [126, 127, 1_000, 65_535].enumerated() {
            #expect(run.append(copying: message(length, UInt8(index))) == true)
            expected.writeImmutableBuffer(frame(message(length, UInt8(index))))
        }
        #expect(run.buffer == expected)
        #expect(run.count == 4)
        #expect(run.bytes == expected.readableBytes)
    }

    @Test("A message of a length that needs another header is not taken, and leaves no trace")
    func otherLengths() {
        var run = MessageRun()
        #expect(run.append(copying: message(200)) == true)
        let before = run.buffer
        for length in [0, 1, 125, 65_536, 100_000] {
            #expect(run.append(copying: message(length)) == false)
        }
        #expect(run.buffer == before)
        #expect(run.count == 1)
        #expect(run.append(copying: message(300)) == true)
        #expect(run.count == 2)
        #expect(run.popFirst() == message(200))
        #expect(run.popFirst() == message(300))
    }

    @Test("Messages are popped in their order, and then there is none")
    func pop() {
        var run = MessageRun()
        for byte: UInt8 in 0..<10 { #expect(run.append(copying: message(126 + Int(byte), byte)) == true) }
        for byte: UInt8 in 0..<10 { #expect(run.popFirst() == message(126 + Int(byte), byte)) }
        #expect(run.popFirst() == nil)
        #expect(run.count == 0)
        #expect(run.bytes == 0)
    }

    @Test("A part is as large as it may be, has whole frames only and at least one", arguments: 0..<8)
    func parts(seed: UInt64) {
        var generator = SeededRandom(seed: seed)
        var run = MessageRun()
        var rest: [ByteBuffer] = []
        for byte: UInt8 in 0..<100 {
            let message = message(Int.random(in: 126...1_000, using: &generator), byte)
            #expect(run.append(copying: message) == true)
            rest.append(message)
        }
        while run.count > 0 {
            let bytesMax = Int.random(in: 0...3_000, using: &generator)
            var part = run.removeFirst(bytesMax: bytesMax)
            #expect(part.count == 1 || part.bytes <= bytesMax)
            if let next = rest.dropFirst(part.count).first {
                #expect(part.bytes + frame(next).readableBytes > bytesMax)
            }
            #expect(part.count + run.count == rest.count)
            while let message = part.popFirst() { #expect(message == rest.removeFirst()) }
        }
        #expect(rest.isEmpty)
    }
}
