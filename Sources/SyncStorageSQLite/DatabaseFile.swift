import FoundationEssentials
import Glibc
import SyncStorage
import Synchronization

/// The place of a database, held exclusively: the broker that tells clients of changes lives in the process, so one file
/// serves one process (docs/contract/storage.md Δ-S13).
final class DatabaseFile: Sendable {
    let path: String
    private let temporaryDirectory: String?
    /// Of the lock file, `nil` when released.
    private let lock: Mutex<LockFile?>

    /// Creates the directory and an empty file where there is none, readable by this user alone, and takes the lock
    /// `<path>.lock`. Blocks.
    ///
    /// - Parameters:
    ///   - path: `nil` for a temporary directory.
    ///   - lock: If it need not be taken, a database at `path` must exist.
    init(path: String?, lock: SQLiteConfiguration.Lock = .taken) throws(StorageError) {
        if let path {
            guard !path.isEmpty else { throw .database(detail: "the path of the SQLite database is empty") }
            self.path = path
            self.temporaryDirectory = nil
            if lock == .taken {
                try createDirectory(of: path)
            } else if access(path, F_OK) != 0 {
                throw .database(detail: "there is no SQLite database \(path)")
            }
        } else {
            let directory = FileManager.default.temporaryDirectory.path + "/less-sync-" + UUID().uuidString
            self.path = directory + "/database"
            self.temporaryDirectory = directory
            try createDirectory(of: self.path)
        }
        guard lock != .ignored || path == nil else {
            self.lock = Mutex(nil)
            return
        }
        guard let file = try LockFile.take(self.path + ".lock") else {
            if lock == .takenIfFree {
                self.lock = Mutex(nil)
                return
            }
            throw .database(
                detail: "another process uses the SQLite database \(self.path); it holds the lock \(self.path).lock")
        }
        self.lock = Mutex(file)
        // SQLite gives its -wal and -shm files the mode of this one.
        do {
            Glibc.close(try openForOwner(self.path))
        } catch {
            self.discard()
            throw error
        }
    }

    deinit { self.release() }

    /// Whether this process holds the lock.
    var isExclusive: Bool { self.lock.withLock { $0 != nil } }

    /// Gives the lock back, and removes a temporary database. Harmless when repeated.
    func release() {
        guard let file = self.lock.withLock({ $0.take() }) else { return }
        file.release()
        if let temporaryDirectory = self.temporaryDirectory {
            try? FileManager.default.removeItem(atPath: temporaryDirectory)
        }
    }
}

extension DatabaseFile {
    /// Runs `body`. One that fails leaves no lock file that was not there before.
    func use<Result>(_ body: (DatabaseFile) throws -> Result) throws -> Result {
        do {
            return try body(self)
        } catch {
            self.discard()
            throw error
        }
    }

    private func discard() {
        self.lock.withLock { $0?.removeIfNew() }
        self.release()
    }
}

/// A file that is locked as long as it is open.
private struct LockFile {
    let path: String
    /// Opened for the length of the process or until `release`; a child process must not inherit it.
    let descriptor: Int32
    /// Nobody had made it before.
    let isNew: Bool

    private static let attemptsMax = 10

    /// `nil` when another process holds the lock.
    static func take(_ path: String) throws(StorageError) -> LockFile? {
        for _ in 1...Self.attemptsMax {
            let isNew = access(path, F_OK) != 0
            let file = LockFile(path: path, descriptor: try openForOwner(path), isNew: isNew)
            guard flock(file.descriptor, LOCK_EX | LOCK_NB) == 0 else {
                Glibc.close(file.descriptor)
                return nil
            }
            // Somebody who removed it meanwhile has locked out nobody who comes later.
            if file.isInPlace { return file }
            file.release()
        }
        throw .database(detail: "the lock \(path) goes away again and again")
    }

    private var isInPlace: Bool {
        var opened = stat()
        var named = stat()
        return fstat(self.descriptor, &opened) == 0 && stat(self.path, &named) == 0 && opened.st_ino == named.st_ino
    }

    func removeIfNew() {
        if self.isNew { unlink(self.path) }
    }

    func release() {
        // Closing is not enough while a child process, forked and not yet at its exec, has a copy of the descriptor.
        flock(self.descriptor, LOCK_UN)
        Glibc.close(self.descriptor)
    }
}

private func openForOwner(_ path: String) throws(StorageError) -> Int32 {
    let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
        throw .database(detail: "cannot open \(path): \(String(cString: strerror(errno)))")
    }
    return descriptor
}

/// Creates the directory of `path` with its parents, so that it outlasts a loss of power; SQLite sees to what is in it.
private func createDirectory(of path: String) throws(StorageError) {
    guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return }
    let directory = String(path[..<slash])
    var isMade = mkdir(directory, 0o700) == 0
    if !isMade, errno == ENOENT {
        try createDirectory(of: directory)
        isMade = mkdir(directory, 0o700) == 0
    }
    guard isMade else {
        // A file in its place is found when something is opened in it.
        if errno == EEXIST { return }
        throw .database(detail: "cannot create the directory \(directory): \(String(cString: strerror(errno)))")
    }
    try syncParent(of: directory)
}

/// A directory entry is on the disk when the directory that holds it is.
private func syncParent(of directory: String) throws(StorageError) {
    let parent = directory.lastIndex(of: "/").map { String(directory[...$0]) } ?? "."
    let descriptor = Glibc.open(parent, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
        throw .database(detail: "cannot open the directory \(parent): \(String(cString: strerror(errno)))")
    }
    defer { Glibc.close(descriptor) }
    guard fsync(descriptor) == 0 else {
        throw .database(detail: "cannot sync the directory \(parent): \(String(cString: strerror(errno)))")
    }
}
