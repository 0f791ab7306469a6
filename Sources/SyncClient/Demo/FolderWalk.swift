import Glibc

/// The entries of a folder and of its subfolders, one at a time, in an order that depends on the names' bytes alone.
///
/// Reads the disk: not for the threads of the concurrency runtime. Keeps the names of the folders that it is in.
struct FolderWalk {
    enum Entry: Hashable {
        /// A regular file; `path` is relative to the folder.
        case file(path: String, bytes: Int64)
        /// A symbolic link or a special file.
        case skipped(path: String, kind: String)
        /// Cannot be sent; a sentence that names it.
        case refused(String)
    }

    private struct Level {
        /// Empty, or ends with `/`.
        var prefix: String
        /// The last one comes first.
        var names: [[UInt8]]
    }

    let root: String
    private var levels: [Level]

    init(root: String) throws(DemoError) {
        var status = stat()
        guard stat(root, &status) == 0 else { throw .folder(root, reason: SystemError.last) }
        guard status.st_mode & S_IFMT == S_IFDIR else { throw .folder(root, reason: "not a folder") }
        self.root = root
        do { self.levels = [Level(prefix: "", names: try Self.names(in: root))] } catch {
            throw .folder(root, reason: error.reason)
        }
    }

    /// `nil` after the last one. Folders are gone into, not reported.
    mutating func next() -> Entry? {
        while let level = self.levels.indices.last {
            guard let name = self.levels[level].names.popLast() else {
                self.levels.removeLast()
                continue
            }
            if let entry = self.visit(name, prefix: self.levels[level].prefix) { return entry }
        }
        return nil
    }

    private mutating func visit(_ name: [UInt8], prefix: String) -> Entry? {
        guard let text = String(validating: name, as: UTF8.self) else {
            let shown = DisplayText.path(bytes: Array(prefix.utf8) + name)
            return .refused("cannot send \(shown): its name is not UTF-8")
        }
        let path = prefix + text
        var status = stat()
        guard lstat("\(self.root)/\(path)", &status) == 0 else { return Self.refused(path, SystemError.last) }
        switch status.st_mode & S_IFMT {
        case S_IFREG:
            guard access("\(self.root)/\(path)", R_OK) == 0 else { return Self.refused(path, SystemError.last) }
            return .file(path: path, bytes: Int64(status.st_size))
        case S_IFDIR:
            do {
                self.levels.append(Level(prefix: path + "/", names: try Self.names(in: "\(self.root)/\(path)")))
                return nil
            } catch {
                return Self.refused(path, error.reason)
            }
        case S_IFLNK: return .skipped(path: path, kind: "symbolic link")
        case S_IFIFO: return .skipped(path: path, kind: "pipe")
        case S_IFSOCK: return .skipped(path: path, kind: "socket")
        default: return .skipped(path: path, kind: "device")
        }
    }

    private static func refused(_ path: String, _ reason: String) -> Entry {
        .refused("cannot read \(DisplayText.path(path)): \(reason)")
    }

    /// In descending order.
    private static func names(in directory: String) throws(SystemError) -> [[UInt8]] {
        guard let stream = opendir(directory) else { throw SystemError() }
        defer { closedir(stream) }
        var names: [[UInt8]] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                guard errno == 0 else { throw SystemError() }
                break
            }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
            if name != [UInt8(ascii: ".")], name != [UInt8(ascii: "."), UInt8(ascii: ".")] { names.append(name) }
        }
        return names.sorted { $1.lexicographicallyPrecedes($0) }
    }
}

/// A failed call of the operating system.
struct SystemError: Error, Hashable {
    let reason: String

    /// The failure of the call just made on this thread.
    init() { self.reason = Self.last }

    static var last: String { self.text(of: errno) }

    static func text(of code: Int32) -> String { String(cString: strerror(code)) }
}
