package import Crypto
import FoundationEssentials
package import NIOCore
package import SyncProtocol

/// Encrypts one file with a key of its own, in chunks that can be opened one by one.
///
/// AES-256-GCM over 64 KiB of plaintext each. The nonce counts the chunks and says which one is the last, so that none can be
/// dropped, repeated or put elsewhere unnoticed (the STREAM construction); the id of the file is authenticated with each. A key
/// is used for one file alone, which is what makes counted nonces safe.
package struct FileCipher: Sendable {
    /// Plaintext of every chunk but the last.
    package static let chunkBytes = 65_536
    static let tagBytes = 16
    package static let sealedChunkBytes = Self.chunkBytes + Self.tagBytes

    private let key: SymmetricKey
    private let file: FileID

    package init(key: SymmetricKey, file: FileID) {
        self.key = key
        self.file = file
    }

    /// Chunks of a file of so many bytes; an empty file has one.
    package static func chunks(of bytes: Int64) -> Int64 {
        max(1, (bytes + Int64(Self.chunkBytes) - 1) / Int64(Self.chunkBytes))
    }

    /// Bytes that a file takes when it is sealed.
    package static func sealedBytes(of bytes: Int64) -> Int64 { bytes + Self.chunks(of: bytes) * Int64(Self.tagBytes) }

    package func seal(_ chunk: ByteBuffer, index: UInt32, isLast: Bool) throws -> ByteBuffer {
        let box = try AES.GCM.seal(
            Array(chunk.readableBytesView), using: self.key, nonce: Self.nonce(index, isLast),
            authenticating: self.file.bytes)
        var sealed = ByteBufferAllocator().buffer(capacity: chunk.readableBytes + Self.tagBytes)
        sealed.writeBytes(box.ciphertext)
        sealed.writeBytes(box.tag)
        return sealed
    }

    /// - Throws: For everything that `seal` did not make of this file at this place.
    package func open(_ sealed: ByteBuffer, index: UInt32, isLast: Bool) throws -> ByteBuffer {
        let bytes = Array(sealed.readableBytesView)
        let box = try AES.GCM.SealedBox(
            nonce: Self.nonce(index, isLast), ciphertext: bytes.dropLast(Self.tagBytes),
            tag: bytes.suffix(Self.tagBytes))
        return ByteBuffer(bytes: try AES.GCM.open(box, using: self.key, authenticating: self.file.bytes))
    }

    private static func nonce(_ index: UInt32, _ isLast: Bool) throws -> AES.GCM.Nonce {
        var bytes = ByteBuffer()
        bytes.writeRepeatingByte(0, count: 7)
        bytes.writeInteger(index)
        bytes.writeInteger(UInt8(isLast ? 1 : 0))
        return try AES.GCM.Nonce(data: Array(bytes.readableBytesView))
    }
}

/// The keys that DEKs are wrapped with, one for each epoch.
package struct EpochKeys: Sendable {
    package struct UnknownEpoch: Error, Hashable {
        package let epoch: UInt32
    }

    private var keys: [UInt32: SymmetricKey]

    package init(_ keys: [UInt32: SymmetricKey]) { self.keys = keys }

    /// 44 bytes: the epoch, and the key wrapped as RFC 3394 says.
    package func wrap(_ dek: SymmetricKey, for epoch: UInt32) throws -> ByteBuffer {
        guard let key = self.keys[epoch] else { throw UnknownEpoch(epoch: epoch) }
        var wrapped = ByteBuffer()
        wrapped.writeInteger(epoch)
        wrapped.writeBytes(try AES.KeyWrap.wrap(dek, using: key))
        return wrapped
    }

    package func unwrap(_ wrapped: ByteBuffer) throws -> SymmetricKey {
        var wrapped = wrapped
        let epoch = wrapped.readInteger(as: UInt32.self) ?? 0
        guard let key = self.keys[epoch] else { throw UnknownEpoch(epoch: epoch) }
        return try AES.KeyWrap.unwrap(Array(wrapped.readableBytesView), using: key)
    }
}
