package import FoundationEssentials
import NIOCore
import SyncProtocol
package import SyncStorage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Objects as files of one directory (docs/contract/storage.md §6.5):
///
/// ```
/// spaces/<space uuid>/files/<file uuid>   objects
/// temporary/<uuid>                        objects in the making
/// uploads/…                               resumable uploads, see PartialUploads
/// ```
///
/// An object becomes visible by getting its name once its bytes are on the disk, and the name is on the disk before the
/// caller hears of it.
package struct LocalBlobStore: BlobStore {
    /// Bytes of one write, and so of memory for each upload in transit.
    static let chunkBytes = 256 * 1_024

    private let root: String
    private let fileBytesMax: Int64

    /// - Parameter root: A directory on one file system that knows hard links. `prepare` makes it.
    package init(root: String, fileBytesMax: Int64) {
        self.root = root
        self.fileBytesMax = fileBytesMax
    }

    /// - Throws: `.failed` when the directory cannot be made, written to, or holds no hard links.
    package func prepare() async throws(BlobError) {
        let root = self.root
        let temporary = self.temporary
        try await FileThreads.shared.run { () throws(BlobError) in
            try DurableDirectory.make(root)
            try DurableDirectory.make(temporary)
            try Self.checkLinks(in: temporary)
        }
    }

    /// Looks whether a directory is that of a store: one that a server has prepared, or another program has filled.
    ///
    /// - Throws: `.failed` when it is not there, or has nothing of a store in it. Nothing is made.
    static func check(root: String) async throws(BlobError) {
        try await FileThreads.shared.run { () throws(BlobError) in
            let path = ConfigurationError.quoted(root)
            guard FileNames.isDirectory(root) else {
                throw .failed(detail: "FILE_STORAGE_PATH \(path): no such directory")
            }
            guard FileNames.isDirectory(root + "/spaces") || FileNames.isDirectory(root + "/temporary") else {
                throw .failed(
                    detail: "FILE_STORAGE_PATH \(path): not a file storage, it has neither spaces/ nor temporary/")
            }
        }
    }

    package func removeUnfinished(before date: Date) async throws(BlobError) {
        let temporary = self.temporary
        try await FileThreads.shared.run { () throws(BlobError) in
            try FileNames.removeFiles(in: temporary, changedBefore: date)
        }
    }

    package func begin(_ key: FileKey, length: Int64) async throws(BlobError) -> any BlobWriter {
        guard length <= self.fileBytesMax else { throw .tooLarge }
        let path = self.temporaryPath()
        let temporary = self.temporary
        let file = try await FileThreads.shared.run { () throws(BlobError) in
            try Self.making(temporary) { () throws(BlobError) in
                try OpenFile(path, O_WRONLY | O_CREAT | O_EXCL)
            }
        }
        return LocalBlobWriter(file: file, path: path, length: length, target: self.location(of: key))
    }

    /// The file gets a second name, so it has to be on the same file system.
    package func begin(
        _ key: FileKey, fromFile file: String, length: Int64
    ) async throws(BlobError) -> any BlobWriter {
        guard length <= self.fileBytesMax else { throw .tooLarge }
        let path = self.temporaryPath()
        let temporary = self.temporary
        try await FileThreads.shared.run { () throws(BlobError) in
            guard let attributes = try FileAttributes.ofFile(file) else { throw .notFound }
            guard attributes.length == length else { throw .incomplete }
            let isLinked = try Self.making(temporary) { () throws(BlobError) in try FileNames.link(file, as: path) }
            guard isLinked else { throw .failed(detail: "link: name taken") }
        }
        return LocalBlobWriter(file: nil, path: path, length: length, target: self.location(of: key))
    }

    package func open(_ key: FileKey, range: Range<Int64>?) async throws(BlobError) -> BlobContent {
        let path = self.location(of: key).path
        return try await FileThreads.shared.run { () throws(BlobError) in
            let file = try OpenFile(path, O_RDONLY | O_NOFOLLOW)
            let length = try file.attributes().length
            let range = range ?? 0..<length
            guard range.lowerBound >= 0, range.upperBound <= length else { throw .outOfRange }
            let first = range.prefix(Int(BlobContent.pieceBytes))
            try file.prefetch(first)
            return BlobContent(length: length, body: FileBody(file, range: range), file: LocalBlobFile(file: file))
        }
    }

    package func length(of key: FileKey) async throws(BlobError) -> Int64? {
        let path = self.location(of: key).path
        return try await FileThreads.shared.run { () throws(BlobError) in try FileAttributes.ofFile(path)?.length }
    }

    package func delete(_ key: FileKey) async throws(BlobError) {
        let location = self.location(of: key)
        try await FileThreads.shared.run { () throws(BlobError) in
            guard try FileNames.remove(location.path) else { return }
            try FileNames.synchronize(directory: location.directory)
        }
    }

    package func close() {}

    package func list() -> any BlobListing { LocalBlobListing(root: self.root) }

    private var temporary: String { "\(self.root)/temporary" }

    private func temporaryPath() -> String { "\(self.temporary)/\(FileID.random().wireText)" }

    /// Makes the directory if that is what `body` lacks: somebody may have tidied up. Never its parents, which are missing when
    /// the whole store is.
    private static func making<Result>(
        _ directory: String, _ body: () throws(BlobError) -> Result
    ) throws(BlobError) -> Result {
        do { return try body() } catch .notFound {
            try FileNames.makeDirectory(directory)
            return try body()
        }
    }

    private func location(of key: FileKey) -> BlobLocation {
        BlobLocation(directory: "\(self.root)/spaces/\(key.space.wireText)/files", name: key.file.wireText)
    }

    /// Publishing without replacing needs hard links. A file system without them is better found at the start.
    private static func checkLinks(in directory: String) throws(BlobError) {
        let path = "\(directory)/\(FileID.random().wireText)"
        let name = "\(directory)/\(FileID.random().wireText)"
        _ = try OpenFile(path, O_WRONLY | O_CREAT | O_EXCL)
        defer { for path in [path, name] { _ = try? FileNames.remove(path) } }
        guard try FileNames.link(path, as: name) else { throw .failed(detail: "link: name taken") }
    }
}

/// An object that is being read.
private struct LocalBlobFile: BlobFile {
    let file: OpenFile

    func prefetch(_ range: Range<Int64>) async throws(BlobError) {
        let file = self.file
        try await FileThreads.shared.run { () throws(BlobError) in try file.prefetch(range) }
    }

    func region(_ range: Range<Int64>) throws(BlobError) -> FileRegion { try self.file.region(range) }
}

/// Where an object is or will be.
struct BlobLocation: Sendable {
    let directory: String
    let name: String

    var path: String { "\(self.directory)/\(self.name)" }
}

/// Directories that survive a power loss once they have been made.
enum DurableDirectory {
    /// Makes a directory and its missing parents. Several callers may do so at once.
    static func make(_ path: String) throws(BlobError) {
        let parent = Self.parent(of: path)
        do {
            guard try FileNames.makeDirectory(path) else { return }
        } catch .notFound where parent != path {
            try Self.make(parent)
            // Somebody else may have been quicker; they make it durable, and so do we.
            try FileNames.makeDirectory(path)
        }
        try FileNames.synchronize(directory: parent)
    }

    private static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}

extension FileNames {
    /// Removes regular files. One that somebody else removes at the same time is no error.
    static func removeFiles(in directory: String, changedBefore before: Date) throws(BlobError) {
        for name in try Self.entries(of: directory) {
            let path = "\(directory)/\(name)"
            guard let attributes = try FileAttributes.ofFile(path), attributes.modified < before else { continue }
            try Self.remove(path)
        }
    }
}
