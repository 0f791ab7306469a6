import Crypto
import Glibc
import NIOCore

/// The parts of one file, read one at a time.
///
/// Reads the disk: not for the threads of the concurrency runtime.
final class FileParts {
    let path: String
    private let descriptor: Int32
    /// Size and time of the last change when the file was opened.
    private let opened: Version
    private let partBytesMax: Int
    private var offset: Int64 = 0
    private var index: Int64 = 0
    private var hasher = SHA256()
    private var hasEnded = false

    private struct Version: Equatable {
        let bytes: Int64
        let seconds: Int
        let nanoseconds: Int
    }

    /// - Parameter path: Relative to `root`, and not a symbolic link.
    init(root: String, path: String, partBytesMax: Int = DemoPart.dataBytesMax) throws(DemoError) {
        // Non-blocking, in case a pipe has taken the file's place.
        let descriptor = open("\(root)/\(path)", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { throw .file(path, reason: SystemError.last) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw .file(path, reason: "no longer a regular file")
        }
        self.path = path
        self.descriptor = descriptor
        self.opened = Self.version(of: status)
        self.partBytesMax = partBytesMax
    }

    deinit { close(self.descriptor) }

    /// `nil` after the last one. A file has one part at least.
    func next() throws(DemoError) -> DemoPart? {
        guard !self.hasEnded else { return nil }
        let wanted = min(Int64(self.partBytesMax), self.opened.bytes - self.offset)
        let data = try self.read(Int(wanted))
        self.offset += Int64(data.readableBytes)
        self.hasher.update(data)
        var part = DemoPart(path: self.path, index: self.index, fileBytes: self.opened.bytes, data: data, end: nil)
        self.index += 1
        if data.readableBytes < Int(wanted) {
            part.end = .abandoned
        } else if self.offset == self.opened.bytes {
            part.end = try self.isUnchanged() ? .complete(ByteBuffer(bytes: self.hasher.finalize())) : .abandoned
        }
        self.hasEnded = part.end != nil
        return part
    }

    private func isUnchanged() throws(DemoError) -> Bool {
        var status = stat()
        guard fstat(self.descriptor, &status) == 0 else { throw .file(self.path, reason: SystemError.last) }
        return Self.version(of: status) == self.opened
    }

    private static func version(of status: stat) -> Version {
        Version(bytes: Int64(status.st_size), seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec)
    }

    /// Fewer than `count` bytes at the end of the file only.
    private func read(_ count: Int) throws(DemoError) -> ByteBuffer {
        var data = ByteBufferAllocator().buffer(capacity: count)
        while data.readableBytes < count {
            let missing = count - data.readableBytes
            var failure: Int32 = 0
            let bytes = data.writeWithUnsafeMutableBytes(minimumWritableBytes: missing) { target -> Int in
                let result = Glibc.read(self.descriptor, target.baseAddress, missing)
                failure = result < 0 ? errno : 0
                return max(0, result)
            }
            if failure != 0, failure != EINTR { throw .file(self.path, reason: SystemError.text(of: failure)) }
            if bytes == 0, failure == 0 { break }
        }
        return data
    }
}
