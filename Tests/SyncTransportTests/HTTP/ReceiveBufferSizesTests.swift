import NIOCore
import NIOEmbedded
import Testing

@testable import SyncTransport

@Suite("Sizes of receive buffers")
struct ReceiveBufferSizesTests {
    private func size(_ sizes: ReceiveBufferSizes) -> Int { sizes.buffer(allocator: ByteBufferAllocator()).capacity }

    private func record(_ bytes: Int, in sizes: inout ReceiveBufferSizes) -> Bool {
        sizes.record(actualReadBytes: bytes)
    }

    @Test("an idle connection keeps the room for one short message; the buffer of NIO's pool is used again")
    func idle() {
        var sizes = ReceiveBufferSizes()
        #expect(self.size(sizes) == 512)
        #expect(record(6, in: &sizes) == false)
        #expect(self.size(sizes) == 512)
        #expect(sizes.nextBufferSize() == nil)
    }

    @Test(
        "a full buffer is followed by a larger one up to 64 KiB, which the pool must not keep, and little input by smaller ones"
    )
    func growth() {
        var sizes = ReceiveBufferSizes()
        for expected in [4_096, 32_768, 65_536, 65_536] {
            #expect(record(self.size(sizes), in: &sizes) == true)
            #expect(self.size(sizes) == expected)
        }
        #expect(record(8_192, in: &sizes) == true)
        #expect(self.size(sizes) == 65_536)
        #expect(record(100, in: &sizes) == true)
        #expect(self.size(sizes) == 8_192)
        #expect(record(100, in: &sizes) == true)
        #expect(self.size(sizes) == 1_024)
        #expect(record(100, in: &sizes) == false)
        #expect(self.size(sizes) == 512)
    }
}
