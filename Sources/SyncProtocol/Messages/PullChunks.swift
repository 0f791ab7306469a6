package import NIOCore

/// Encodes the chunks of one space in one answer to `pull`, many in a row (docs/contract/rpc.md §5). What is the same in all of
/// them is encoded once. A class, because it is asked for every record, and has many parts to copy.
package final class PullChunks: Sendable {
    private let requestID: String
    /// Of `pull.record`: everything before the number of its fields, and from there to the text of its id.
    private let recordHead: ByteBuffer
    private let recordSpace: ByteBuffer
    private let keys = Keys()

    private struct Keys {
        let blob = CBORWriter.encode { $0.write(key: "blob") }
        let cursor = CBORWriter.encode { $0.write(key: "cursor") }
        let dek = CBORWriter.encode { $0.write(key: "dek") }
        let deleted = CBORWriter.encode { writer in
            writer.write(key: "deleted")
            writer.write(true)
        }
    }

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
            writer.writeTextHead(UUIDText.length)
        }
    }

    /// Appends one chunk `pull.record`.
    ///
    /// - Returns: False when it is too long for a run; then nothing was appended.
    package func append(
        record id: RecordID, cursor: Int64, deleted: Bool, wrappedDEK: RawSpan?, blob: RawSpan?,
        to run: inout MessageRun
    ) -> Bool {
        var fields: UInt64 = 3
        var length =
            self.recordHead.readableBytes + 1 + self.recordSpace.readableBytes + UUIDText.length
            + self.keys.cursor.readableBytes + CBORPiece.bytes(of: cursor)
        if let blob {
            fields += 1
            length += self.keys.blob.readableBytes + CBORPiece.headBytes(UInt64(blob.byteCount)) + blob.byteCount
        }
        if let wrappedDEK {
            fields += 1
            length +=
                self.keys.dek.readableBytes + CBORPiece.headBytes(UInt64(wrappedDEK.byteCount)) + wrappedDEK.byteCount
        }
        if deleted {
            fields += 1
            length += self.keys.deleted.readableBytes
        }
        return run.append(length: length) { output in
            CBORPiece.append(self.recordHead, to: &output)
            CBORPiece.appendHead(CBORSyntax.Major.map, fields, to: &output)
            CBORPiece.append(self.recordSpace, to: &output)
            CBORPiece.appendText(of: id, to: &output)
            if let blob {
                CBORPiece.append(self.keys.blob, to: &output)
                CBORPiece.append(item: blob, to: &output)
            }
            CBORPiece.append(self.keys.cursor, to: &output)
            CBORPiece.append(cursor, to: &output)
            if let wrappedDEK {
                CBORPiece.append(self.keys.dek, to: &output)
                CBORPiece.append(item: wrappedDEK, to: &output)
            }
            if deleted { CBORPiece.append(self.keys.deleted, to: &output) }
        }
    }

    /// One chunk by itself.
    package func message(_ name: ChunkName, _ data: some WireEncodable) -> ByteBuffer {
        FrameEncoder.chunk(id: self.requestID, name: name, data: data)
    }
}
