import FoundationEssentials
import NIOCore
import SyncStorage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// An open file or directory, closed with its last reference. Every call waits for the disk: only on `FileThreads`.
final class OpenFile: Sendable {
    let descriptor: CInt

    /// - Throws: `.notFound`, `.failed`.
    init(_ path: String, _ flags: CInt, mode: mode_t = 0o600) throws(BlobError) {
        let descriptor = try Self.retrying("open") { open(path, flags | O_CLOEXEC, mode) }
        self.descriptor = descriptor
    }

    deinit { _ = close(self.descriptor) }

    func write(_ bytes: ByteBuffer, at start: Int64) throws(BlobError) {
        var offset = start
        var bytes = bytes
        while bytes.readableBytes > 0 {
            let count = try bytes.withUnsafeReadableBytes { buffer throws(BlobError) in
                try Self.retrying("write") { pwrite(self.descriptor, buffer.baseAddress, buffer.count, off_t(offset)) }
            }
            bytes.moveReaderIndex(forwardBy: count)
            offset += Int64(count)
        }
    }

    /// - Throws: `.failed` when the file ends before `count` bytes.
    func read(_ count: Int, at start: Int64) throws(BlobError) -> ByteBuffer {
        var bytes = ByteBuffer()
        bytes.reserveCapacity(count)
        var offset = start
        while bytes.readableBytes < count {
            let wanted = count - bytes.readableBytes
            let got = try Self.retrying("read") {
                var result = 0
                bytes.writeWithUnsafeMutableBytes(minimumWritableBytes: wanted) { buffer in
                    result = pread(self.descriptor, buffer.baseAddress, wanted, off_t(offset))
                    return max(0, result)
                }
                return result
            }
            guard got > 0 else { throw .failed(detail: "file is shorter than it was") }
            offset += Int64(got)
        }
        return bytes
    }

    /// Waits until bytes are in the page cache, and with it until they are known to be there at all.
    ///
    /// - Throws: `.failed` when the file ends before them.
    func prefetch(_ range: Range<Int64>) throws(BlobError) {
        #if !canImport(Darwin)
            _ = posix_fadvise(
                self.descriptor, off_t(range.lowerBound), off_t(range.count), CInt(POSIX_FADV_WILLNEED))
        #endif
        // The disk delivers about so much at a time, in order: one byte of it stands for all.
        let step: Int64 = 131_072
        for start in stride(from: range.lowerBound, to: range.upperBound, by: Int(step)) {
            var byte: UInt8 = 0
            let last = min(start + step, range.upperBound) - 1
            let count = try Self.retrying("read") { pread(self.descriptor, &byte, 1, off_t(last)) }
            guard count == 1 else { throw .failed(detail: "file is shorter than it was") }
        }
    }

    /// The caller closes the handle. Does not wait for the disk.
    func region(_ range: Range<Int64>) throws(BlobError) -> FileRegion {
        let copy = try Self.retrying("dup") { fcntl(self.descriptor, F_DUPFD_CLOEXEC, 0) }
        return FileRegion(
            fileHandle: NIOFileHandle(_deprecatedTakingOwnershipOfDescriptor: copy),
            readerIndex: Int(range.lowerBound), endIndex: Int(range.upperBound))
    }

    func synchronize() throws(BlobError) { _ = try Self.retrying("fsync") { fsync(self.descriptor) } }

    func truncate(to length: Int64) throws(BlobError) {
        _ = try Self.retrying("ftruncate") { ftruncate(self.descriptor, off_t(length)) }
    }

    /// - Throws: `.failed` for what is not a regular file.
    func attributes() throws(BlobError) -> FileAttributes {
        var status = stat()
        _ = try Self.retrying("fstat") { fstat(self.descriptor, &status) }
        guard let attributes = FileAttributes(status) else { throw .failed(detail: "not a regular file") }
        return attributes
    }
}

/// What is asked of a file: bytes, and when they changed.
struct FileAttributes: Sendable {
    let length: Int64
    let modified: Date

    /// `nil` for what is not a regular file.
    fileprivate init?(_ status: stat) {
        guard status.st_mode & S_IFMT == S_IFREG else { return nil }
        self.length = Int64(status.st_size)
        #if canImport(Darwin)
            let time = status.st_mtimespec
        #else
            let time = status.st_mtim
        #endif
        self.modified = Date(timeIntervalSince1970: Double(time.tv_sec) + Double(time.tv_nsec) / 1_000_000_000)
    }

    /// `nil` when there is no regular file; symbolic links are not followed.
    static func ofFile(_ path: String) throws(BlobError) -> FileAttributes? {
        var status = stat()
        do {
            _ = try OpenFile.retrying("stat") { lstat(path, &status) }
        } catch .notFound {
            return nil
        }
        return FileAttributes(status)
    }
}

/// Names in directories. Every call waits for the disk.
enum FileNames {
    /// Gives `path` a second name, which must not be taken.
    ///
    /// - Returns: False when it is taken.
    static func link(_ path: String, as name: String) throws(BlobError) -> Bool {
        do throws(Errno) {
            _ = try Errno.check { Self.systemLink(path, name) }
            return true
        } catch {
            if error.code == EEXIST { return false }
            throw error.blobError("link")
        }
    }

    static func rename(_ path: String, to name: String) throws(BlobError) {
        _ = try OpenFile.retrying("rename") { Self.systemRename(path, name) }
    }

    /// It is not an error that there is none.
    ///
    /// - Returns: Whether there was one.
    @discardableResult
    static func remove(_ path: String) throws(BlobError) -> Bool {
        do {
            _ = try OpenFile.retrying("unlink") { unlink(path) }
            return true
        } catch .notFound {
            return false
        }
    }

    /// Makes the names in a directory durable.
    static func synchronize(directory: String) throws(BlobError) {
        try OpenFile(directory, O_RDONLY | O_DIRECTORY).synchronize()
    }

    /// - Returns: Whether it was made now; false when it is there.
    @discardableResult
    static func makeDirectory(_ path: String) throws(BlobError) -> Bool {
        do throws(Errno) {
            _ = try Errno.check { mkdir(path, 0o700) }
            return true
        } catch {
            if error.code == EEXIST { return false }
            throw error.blobError("mkdir")
        }
    }

    /// Also for a symbolic link to a directory.
    static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// Unordered, without `.` and `..`; empty when there is no such directory.
    static func entries(of directory: String) throws(BlobError) -> [String] {
        guard let stream = opendir(directory) else {
            if errno == ENOENT { return [] }
            throw Errno(code: errno).blobError("opendir")
        }
        defer { closedir(stream) }
        var names: [String] = []
        errno = 0
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
            errno = 0
        }
        guard errno == 0 else { throw Errno(code: errno).blobError("readdir") }
        return names
    }

    // Global functions of these names are hidden by the methods above.
    private static func systemLink(_ path: String, _ name: String) -> CInt { linkat(AT_FDCWD, path, AT_FDCWD, name, 0) }
    private static func systemRename(_ path: String, _ name: String) -> CInt {
        renameat(AT_FDCWD, path, AT_FDCWD, name)
    }
}

extension OpenFile {
    /// Calls again what a signal interrupted.
    static func retrying<Result: SignedInteger>(
        _ name: String, _ call: () -> Result
    ) throws(BlobError) -> Result {
        do throws(Errno) { return try Errno.check(call) } catch { throw error.blobError(name) }
    }
}

/// The error of a system call.
struct Errno: Error {
    let code: CInt

    static func check<Result: SignedInteger>(_ call: () -> Result) throws(Errno) -> Result {
        while true {
            let result = call()
            guard result < 0 else { return result }
            let code = errno
            if code != EINTR { throw Errno(code: code) }
        }
    }

    func blobError(_ call: String) -> BlobError {
        if self.code == ENOENT { return .notFound }
        return .failed(detail: "\(call): \(String(cString: strerror(self.code)))")
    }
}
