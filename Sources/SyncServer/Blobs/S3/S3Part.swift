import NIOCore
import Synchronization

/// The bytes of a part on their way. The HTTP client gets copies of pieces, so that the memory of the part, which is large, can
/// be used for the next one whatever the client still holds: freed, it would stay with the process once for each thread.
final class S3Part: AsyncSequence, Sendable {
    typealias Element = ByteBuffer

    private static let pieceBytes = 131_072

    let length: Int
    private let bytes: Mutex<ByteBuffer>

    init(_ bytes: ByteBuffer) {
        self.length = bytes.readableBytes
        self.bytes = Mutex(bytes)
    }

    /// Ends the use as a body.
    ///
    /// - Returns: An empty buffer with the memory of the part.
    func takeRoom() -> ByteBuffer {
        self.bytes.withLock { bytes in
            var room = ByteBuffer()
            swap(&room, &bytes)
            room.clear()
            return room
        }
    }

    private func piece(at offset: Int) -> ByteBuffer? {
        self.bytes.withLock { bytes in
            let count = Swift.min(Self.pieceBytes, bytes.readableBytes - offset)
            guard count > 0 else { return nil }
            return bytes.withUnsafeReadableBytes { ByteBuffer(bytes: $0[offset..<offset + count]) }
        }
    }

    struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate let part: S3Part
        private var offset = 0

        fileprivate init(part: S3Part) { self.part = part }

        mutating func next() async -> ByteBuffer? {
            guard let piece = self.part.piece(at: self.offset) else { return nil }
            self.offset += piece.readableBytes
            return piece
        }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(part: self) }
}
