import NIOCore
import SyncTesting
import Testing

@testable import SyncProtocol

@Suite("Chunks of a pull")
struct PullChunksTests {
    private let space = "cf78a75e-e714-5073-8972-12a66255b39c"

    @Test("A record in a run is encoded as by itself", arguments: 0..<16)
    func records(seed: UInt64) throws {
        var generator = SeededRandom(seed: seed)
        let requestID = String(repeating: "r", count: Int.random(in: 0...300, using: &generator))
        let chunks = PullChunks(requestID: requestID, space: self.space)
        var run = MessageRun()
        var expected: [ByteBuffer] = []
        for _ in 0..<200 {
            func bytes(_ lengths: [Int]) -> ByteBuffer? {
                let length = lengths.randomElement(using: &generator) ?? 0
                return length < 0
                    ? nil : ByteBuffer(repeating: UInt8.random(in: 0...255, using: &generator), count: length)
            }
            let record = RecordEntry(
                space: self.space, id: RecordID(bits: UInt128.random(in: 0 ... .max, using: &generator)),
                blob: bytes([-1, 0, 1, 23, 24, 255, 256, 1_024, 60_000]),
                cursor: Int64.random(in: 0...(1 << Int64.random(in: 1...62, using: &generator)), using: &generator),
                dek: bytes([-1, 0, 44]), deleted: Bool.random(using: &generator))
            #expect(chunks.append(record, to: &run) == true)
            expected.append(FrameEncoder.chunk(id: requestID, name: .pullRecord, data: record))
        }
        for message in expected { #expect(run.popFirst() == message) }
        #expect(run.popFirst() == nil)
    }

    @Test("A record that is too long for a run is refused; up to there every chunk is one")
    func longRecord() {
        let chunks = PullChunks(requestID: "7", space: self.space)
        for length in 65_000...65_600 {
            var run = MessageRun()
            let record = RecordEntry(
                space: self.space, id: RecordID(bits: .max), blob: ByteBuffer(repeating: 1, count: length),
                cursor: .max,
                dek: nil, deleted: true)
            let message = FrameEncoder.chunk(id: "7", name: .pullRecord, data: record)
            let isTaken = chunks.append(record, to: &run)
            #expect(run.count == (isTaken ? 1 : 0))
            if isTaken { #expect(run.popFirst() == message) }
            #expect(!isTaken || message.readableBytes <= MessageRun.messageBytes.upperBound)
            #expect(isTaken || message.readableBytes > MessageRun.messageBytes.upperBound - 128)
        }
    }
}

extension PullChunks {
    fileprivate func append(_ record: RecordEntry, to run: inout MessageRun) -> Bool {
        let (blob, dek) = (record.blob ?? ByteBuffer(), record.dek ?? ByteBuffer())
        let blobBytes: RawSpan? = record.blob == nil ? nil : blob.readableBytesSpan
        let dekBytes: RawSpan? = record.dek == nil ? nil : dek.readableBytesSpan
        return self.append(
            record: record.id, cursor: record.cursor, deleted: record.deleted, wrappedDEK: dekBytes, blob: blobBytes,
            to: &run)
    }
}
