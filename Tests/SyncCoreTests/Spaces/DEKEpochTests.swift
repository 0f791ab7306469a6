import NIOCore
import SyncProtocol
import SyncStorage
import SyncTesting
import Testing

@testable import SyncCore

@Suite("Epoch prefixes of DEKs (Δ-S4)")
struct DEKEpochTests {
    @Test(
        "PSH-18: the smallest non-zero prefix of the 44-byte DEKs counts",
        arguments: [
            ([], 0),
            ([nil], 0),
            ([.wrappedDEK(epoch: 3)], 3),
            ([.wrappedDEK(epoch: 3), nil, .wrappedDEK(epoch: 2)], 2),
            ([.wrappedDEK(epoch: 0), .wrappedDEK(epoch: 7)], 7),
            ([.wrappedDEK(epoch: 0)], 0),
            ([ByteBuffer(repeating: 1, count: 43), ByteBuffer(repeating: 1, count: 45)], 0),
            ([.wrappedDEK(epoch: 0x8000_0000)], Int32.max),
            ([.wrappedDEK(epoch: 0xFFFF_FFFF), .wrappedDEK(epoch: 5)], 5),
        ] as [([ByteBuffer?], Int32)])
    func keyGeneration(deks: [ByteBuffer?], expected: Int32) {
        let changes = deks.enumerated().map { index, dek in
            RecordChange(id: .fixture(index), blob: ByteBuffer(), expectedCursor: 0, wrappedDEK: dek)
        }
        #expect(DEKEpoch.keyGeneration(of: changes) == expected)
    }

    @Test("a prefix is read from where its slice begins")
    func slice() throws {
        var buffer = ByteBuffer(bytes: [9, 9, 9])
        buffer.writeImmutableBuffer(.wrappedDEK(epoch: 4))
        buffer.moveReaderIndex(forwardBy: 3)
        let change = RecordChange(id: .fixture(1), blob: ByteBuffer(), expectedCursor: 0, wrappedDEK: buffer)
        #expect(DEKEpoch.keyGeneration(of: [change]) == 4)
    }
}
