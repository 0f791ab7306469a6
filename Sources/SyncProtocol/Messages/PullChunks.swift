package import NIOCore

/// Encodes the chunks of one space in one answer to `pull`, many in a row (docs/contract/rpc.md §5). What is the same in all of
/// them is encoded once.
package struct PullChunks: Sendable {
    private let requestID: String
    /// Of `pull.record`: everything before the number of its fields, and from there to its id.
    private let recordHead: ByteBuffer
    private let recordSpace: ByteBuffer

    /// - Parameters:
    ///   - requestID: As the client sent it.
    ///   - space: As the client sent it.
    package init(requestID: String, space: String) {
        self.requestID = requestID
        self.recordHead = CBORWriter.encode { FrameEncoder.writeChunkHead(id: requestID, name: .pullRecord, to: &$0) }
        self.recordSpace = CBORWriter.encode { writer in
            writer.write(key: "space")
            writer.write(space)
            writer.write(key: "id")
        }
    }

    /// Bytes of a chunk `pull.record` beside its blob and DEK, at most.
    package var recordOverheadBytes: Int {
        // A map head, the id, four more keys, the heads of two byte strings, the cursor, the flag.
        self.recordHead.readableBytes + self.recordSpace.readableBytes + 96
    }

    /// Appends one chunk `pull.record`.
    ///
    /// - Returns: False when it is too long for a run; then nothing was appended.
    package func append(
        record id: RecordID, cursor: Int64, deleted: Bool, wrappedDEK: RawSpan?, blob: RawSpan?,
        to run: inout MessageRun
    ) -> Bool {
        let payload = (blob?.byteCount ?? 0) + (wrappedDEK?.byteCount ?? 0)
        guard payload + self.recordOverheadBytes <= MessageRun.messageBytes.upperBound else { return false }
        return run.append { writer in
            writer.writeEncoded(self.recordHead)
            writer.writeMap(3 + (blob == nil ? 0 : 1) + (wrappedDEK == nil ? 0 : 1) + (deleted ? 1 : 0))
            writer.writeEncoded(self.recordSpace)
            writer.write(id)
            if let blob {
                writer.write(key: "blob")
                writer.write(blob)
            }
            writer.write(key: "cursor")
            writer.write(cursor)
            if let wrappedDEK {
                writer.write(key: "dek")
                writer.write(wrappedDEK)
            }
            if deleted {
                writer.write(key: "deleted")
                writer.write(true)
            }
        }
    }

    /// One chunk by itself.
    package func message(_ name: ChunkName, _ data: some WireEncodable) -> ByteBuffer {
        FrameEncoder.chunk(id: self.requestID, name: name, data: data)
    }
}
