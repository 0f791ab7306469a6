import NIOCore
import SyncProtocol
import Testing

@testable import SyncBench

@Suite("Records of a load run")
struct BenchPayloadTests {
    private let stamp = BenchStamp(publisher: 7, number: 1 << 40, intended: 123_456_789_012)

    @Test("the stamp is found in the notification of a push")
    func stamped() throws {
        var payload = BenchPayload(recordBytes: 100, hasDEK: true, seed: 1)
        let params = payload.push(3, to: "space", self.stamp)
        #expect(params.changes.map { $0.blob?.readableBytes } == [100, 100, 100])
        #expect(params.changes.map { $0.dek?.readableBytes } == [44, 44, 44])
        #expect(Set(params.changes.map(\.id)).count == 3)
        let records = try params.changes.map { change in
            RecordEntry(
                space: nil, id: try #require(RecordID(wireText: change.id)), blob: change.blob, cursor: 5,
                dek: change.dek, deleted: false)
        }
        let notification = SyncNotification(
            space: SpaceID(bits: 1), prev: 4, cursor: 5, keyGeneration: 1, rewrapEpoch: nil, records: records)
        #expect(BenchStamp.find(in: FrameEncoder.sync(notification)) == self.stamp)
    }

    @Test("the smallest record is nothing but a stamp; shorter messages have none")
    func smallest() {
        var payload = BenchPayload(recordBytes: BenchOptions.recordBytesMin, hasDEK: false, seed: 1)
        let message = payload.stamped(self.stamp)
        #expect(message.readableBytes == BenchOptions.recordBytesMin)
        #expect(BenchStamp.find(in: message) == self.stamp)
        #expect(BenchStamp.find(in: message.getSlice(at: 0, length: 31) ?? ByteBuffer()) == nil)
        #expect(BenchStamp.find(in: ByteBuffer()) == nil)
    }

    @Test("a stamp far behind the beginning is not looked for")
    func farAway() {
        var message = ByteBuffer(repeating: 0x6C, count: 512)
        self.stamp.write(to: &message)
        #expect(BenchStamp.find(in: message) == self.stamp)
        var later = ByteBuffer(repeating: 0x6C, count: 513)
        self.stamp.write(to: &later)
        #expect(BenchStamp.find(in: later) == nil)
    }
}
