import Crypto

/// SHA-256 of what a client sent, where the contract wants it compared with what the client says it is.
package enum ContentHash {
    /// 32 bytes.
    package static func sha256(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        var hash = SHA256()
        hash.update(bufferPointer: bytes)
        return Array(hash.finalize())
    }
}
