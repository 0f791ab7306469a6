import NIOCore
import Testing

@testable import SyncProtocol

@Suite("Broadcasts")
struct BroadcastTests {
    @Test(
        "W4: the frame is the message behind the shortest header of a whole, unmasked binary frame",
        arguments: [
            (0, [0x82, 0]), (1, [0x82, 1]), (125, [0x82, 125]),
            (126, [0x82, 126, 0, 126]), (65_535, [0x82, 126, 0xFF, 0xFF]),
            (65_536, [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] as [(Int, [UInt8])])
    func frame(length: Int, header: [UInt8]) throws {
        let message = ByteBuffer(repeating: 0xAB, count: length)
        let broadcast = Broadcast(message)
        #expect(broadcast.message == message)
        var frame = try #require(broadcast.frame)
        #expect(frame.readBytes(length: header.count) == header)
        #expect(frame == message)
    }

    @Test("a large message has no frame of its own: it is sent as it lies")
    func large() {
        let broadcast = Broadcast(ByteBuffer(repeating: 0, count: Broadcast.framedBytesMax + 1))
        #expect(broadcast.frame == nil)
        #expect(broadcast.message.readableBytes == Broadcast.framedBytesMax + 1)
    }
}
