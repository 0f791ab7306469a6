import NIOCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

extension Channel {
    /// Bytes that the peer's kernel has acknowledged since the connection began; `nil` where the system does not tell. What the
    /// own kernel has taken says less: it takes megabytes at once, then nothing until the peer has taken a third of them.
    /// Call on the event loop.
    var acknowledgedBytes: UInt64? {
        #if os(Linux)
            let bytes = try? self.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) {
                TCPInfo.acknowledgedBytes(of: $0)
            }
            return bytes ?? nil
        #else
            return nil
        #endif
    }
}

#if os(Linux)
    /// `struct tcp_info` of <linux/tcp.h>, of which the C library declares the beginning alone (tcp(7), `TCP_INFO`).
    private enum TCPInfo {
        /// Of `tcpi_bytes_acked`, since Linux 4.1.
        private static let acknowledgedOffset = 120
        /// Up to the end of that field.
        private static let bytes = acknowledgedOffset + MemoryLayout<UInt64>.size

        static func acknowledgedBytes(of socket: CInt) -> UInt64? {
            withUnsafeTemporaryAllocation(byteCount: self.bytes, alignment: MemoryLayout<UInt64>.alignment) { info in
                var length = socklen_t(self.bytes)
                guard getsockopt(socket, CInt(IPPROTO_TCP), TCP_INFO, info.baseAddress, &length) == 0,
                    Int(length) == self.bytes
                else { return nil }
                return info.load(fromByteOffset: self.acknowledgedOffset, as: UInt64.self)
            }
        }
    }
#endif
