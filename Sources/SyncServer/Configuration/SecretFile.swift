import Glibc

/// What a `_FILE` variable names: a file, or a pipe such as `/dev/fd/3`, which can be read but once.
enum SecretFile {
    struct Unreadable: Error {}

    /// Bytes of one file. No setting is so long, and a device may have no end.
    private static let bytesMax = 65_536

    static func read(_ path: String) throws -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Unreadable() }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4_096)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count == 0 { break }
            if count < 0, errno == EINTR { continue }
            guard count > 0, bytes.count + count <= Self.bytesMax else { throw Unreadable() }
            bytes += chunk.prefix(count)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw Unreadable() }
        return text
    }
}
