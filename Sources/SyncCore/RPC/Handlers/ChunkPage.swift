import NIOCore
import SyncProtocol
import SyncStorage

/// The chunks of a page of a pull, encoded where the page is read.
struct ChunkPage: PullPage {
    /// In pull order.
    var parts: [ChunkStream.Part] {
        var parts = self.finished
        if self.run.count > 0 { parts.append(.run(self.run)) }
        return parts
    }

    private(set) var entries: Int64 = 0
    private(set) var records = 0

    private let chunks: PullChunks
    private let space: String
    private var finished: [ChunkStream.Part] = []
    private var run: MessageRun

    init(_ chunks: PullChunks, space: String) {
        self.chunks = chunks
        self.space = space
        self.run = MessageRun(capacity: Limits.pullPageBytesMax)
    }

    mutating func append(record id: RecordID, cursor: Int64, deleted: Bool, wrappedDEK: RawSpan?, blob: RawSpan?) {
        self.entries += 1
        self.records += 1
        guard
            !self.chunks.append(
                record: id, cursor: cursor, deleted: deleted, wrappedDEK: wrappedDEK, blob: blob, to: &self.run)
        else { return }
        let record = RecordEntry(
            space: self.space, id: id, blob: ByteBuffer(copying: blob), cursor: cursor,
            dek: ByteBuffer(copying: wrappedDEK), deleted: deleted)
        self.append(.pullRecord, record)
    }

    mutating func append(_ entry: PullEntry) {
        self.entries += 1
        switch entry {
        case .record(let record):
            self.records += 1
            self.append(
                .pullRecord,
                RecordEntry(
                    space: self.space, id: record.id, blob: record.blob, cursor: record.cursor, dek: record.wrappedDEK,
                    deleted: record.deleted))
        case .member(let member):
            let previousHash = member.previousHash.readableBytes == 0 ? nil : member.previousHash
            self.append(
                .pullMembership,
                PullMembership(
                    space: self.space, cursor: member.cursor,
                    entries: [
                        .init(
                            chainSequence: member.chainSequence, previousHash: previousHash,
                            entryHash: member.entryHash, payload: member.payload)
                    ]))
        case .file(let file):
            self.append(
                .pullFile,
                PullFile(
                    space: self.space, id: file.id, recordID: file.recordID, size: file.size, dek: file.wrappedDEK,
                    cursor: file.cursor, deleted: file.deleted))
        }
    }

    private mutating func append(_ name: ChunkName, _ data: some WireEncodable) {
        let message = self.chunks.message(name, data)
        guard !self.run.append(copying: message) else { return }
        if self.run.count > 0 { self.finished.append(.run(self.run)) }
        self.run = MessageRun()
        self.finished.append(.message(message))
    }
}
