import Crypto
import NIOCore

/// SHA-256 over the path, size and hash of every file in the order of the folder.
struct DemoDigest: Sendable {
    private var hasher = SHA256()
    private(set) var files: Int64 = 0
    private(set) var bytes: Int64 = 0

    mutating func add(path: String, bytes: Int64, hash: ByteBuffer) {
        var entry = ByteBuffer()
        entry.writeInteger(Int64(path.utf8.count))
        entry.writeString(path)
        entry.writeInteger(bytes)
        entry.writeImmutableBuffer(hash)
        self.hasher.update(entry)
        self.files += 1
        self.bytes += bytes
    }

    /// - Parameter records: Records before the manifest.
    func manifest(records: Int64) -> DemoManifest {
        DemoManifest(
            files: self.files, bytes: self.bytes, records: records, digest: ByteBuffer(bytes: self.hasher.finalize()))
    }
}

extension SHA256 {
    mutating func update(_ buffer: ByteBuffer) {
        buffer.withUnsafeReadableBytes { self.update(bufferPointer: $0) }
    }
}
