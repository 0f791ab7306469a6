package import FoundationEssentials
package import NIOCore
import SyncProtocol

/// Where the bytes of files lie, outside the database (docs/contract/storage.md §6.5).
///
/// Objects are immutable. A store knows nothing of rows: whether a file exists is decided by its metadata, and who publishes
/// or deletes holds the lock of that file.
package protocol BlobStore: Sendable {
    /// Makes ready what can be made ready without asking another machine.
    func prepare() async throws(BlobError)

    /// Removes unfinished objects to which nothing has been added since `date`: what processes left that ended early.
    func removeUnfinished(before date: Date) async throws(BlobError)

    /// Begins an object of exactly `length` bytes. Nothing is visible under `key` before it is published.
    ///
    /// The caller ends it with `publish` or `abandon`, in any case.
    ///
    /// - Throws: `.tooLarge` for a length above the limit of the store.
    func begin(_ key: FileKey, length: Int64) async throws(BlobError) -> any BlobWriter

    /// Begins an object of the first `length` bytes of a file on this machine, which are durable there and do not change any
    /// more. They have been taken over when this returns: the object is finished, and the file may be removed.
    func begin(_ key: FileKey, fromFile path: String, length: Int64) async throws(BlobError) -> any BlobWriter

    /// Opens an object. The first byte has been asked for when this returns, so that a store that cannot answer says so here.
    ///
    /// - Parameter range: Bytes of the object, none of them behind its end; `nil`: all.
    /// - Throws: `.notFound`; `.outOfRange`.
    func open(_ key: FileKey, range: Range<Int64>?) async throws(BlobError) -> BlobContent

    /// Bytes of the object, `nil` when there is none.
    func length(of key: FileKey) async throws(BlobError) -> Int64?

    /// Removes the object durably. It is not an error that there is none.
    func delete(_ key: FileKey) async throws(BlobError)

    /// All objects in ascending order of their keys. What lies beside them is left out.
    func list() -> any BlobListing

    /// Gives back what the store holds beyond its objects. Nothing is called afterwards.
    func close() async
}

/// One object in the making. Used by one caller at a time.
package protocol BlobWriter: Sendable {
    /// Takes the next bytes; returns when there is room for more.
    ///
    /// - Throws: `.tooLarge` when they exceed the announced length.
    func append(_ bytes: ByteBuffer) async throws(BlobError)

    /// Writes down what has been appended, so that little is left to do under the lock of the file.
    ///
    /// - Throws: `.incomplete` when there are fewer bytes than announced.
    func finish() async throws(BlobError)

    /// Makes the object visible, whole and durable. Finishes it first if that has not been done.
    ///
    /// - Returns: Whether it is visible now; false when `.ifAbsent` found another one, which is unchanged then.
    func publish(_ publication: BlobPublication) async throws(BlobError) -> Bool

    /// Removes the unfinished object without a trace, as far as that can be done. After `publish`: nothing happens. Works in
    /// a cancelled task too.
    func abandon() async
}

package enum BlobPublication: Sendable {
    /// The first writer of a key wins; of several at once exactly one.
    case ifAbsent
    /// An object that is there already is replaced. Only for one that no row knows of.
    case replacing
}

/// A file names its object, the same in every store and in those of the reference server.
extension FileKey {
    /// `spaces/<space uuid>/files/<file uuid>`, canonical.
    package var path: String { "spaces/\(self.space.wireText)/files/\(self.file.wireText)" }

    /// `nil` for every other text, such as one with upper-case digits.
    package init?(path: String) {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0] == "spaces", parts[2] == "files",
            let space = SpaceID(wireText: String(parts[1])), let file = FileID(wireText: String(parts[3]))
        else { return nil }
        self.init(space: space, file: file)
        guard self.path == path else { return nil }
    }
}

/// The order of the paths.
extension FileKey: Comparable {
    package static func < (left: Self, right: Self) -> Bool {
        left.space == right.space ? left.file < right.file : left.space < right.space
    }
}

/// The bytes of an object, or a range of them. Iterated once, or not at all.
package struct BlobContent: Sendable {
    /// Bytes of the whole object.
    package let length: Int64
    /// In order, none of them empty. Ends early with an error only.
    package let body: any AsyncSequence<ByteBuffer, BlobError> & Sendable
    /// The same bytes, in a store that has them in files of this machine. The first piece is in memory already.
    package let file: (any BlobFile)?

    /// Bytes that are brought to memory at once.
    package static let pieceBytes: Int64 = 1_048_576

    package init(
        length: Int64, body: any AsyncSequence<ByteBuffer, BlobError> & Sendable, file: (any BlobFile)? = nil
    ) {
        self.length = length
        self.body = body
        self.file = file
    }
}

/// An object in an open file: a socket can take its bytes from there, without a copy.
package protocol BlobFile: Sendable {
    /// Waits until bytes of the object are in memory, so that sending them keeps nobody waiting for the disk.
    func prefetch(_ range: Range<Int64>) async throws(BlobError)

    /// Bytes of the object. The caller closes the handle.
    func region(_ range: Range<Int64>) throws(BlobError) -> FileRegion
}

/// One object of a listing.
package struct BlobEntry: Hashable, Sendable {
    package let key: FileKey
    /// Bytes.
    package let length: Int64
    /// When it was published, by the clock of the store.
    package let modified: Date

    package init(key: FileKey, length: Int64, modified: Date) {
        self.key = key
        self.length = length
        self.modified = modified
    }
}

/// A walk through a store. Objects published or deleted meanwhile may be in it or not.
package protocol BlobListing: Sendable {
    /// The next objects, at most 1,000; empty at the end.
    mutating func next() async throws(BlobError) -> [BlobEntry]
}

/// What a blob store can fail with.
package enum BlobError: Error, Hashable, Sendable {
    case notFound
    /// More bytes than the limit of the store, or than announced.
    case tooLarge
    /// Fewer bytes than announced.
    case incomplete
    /// The range is not inside the object.
    case outOfRange
    /// The store could not be reached or did not answer in time; trying again may help. `detail` is for the log.
    case unavailable(detail: String)
    /// The store refused, or what it said makes no sense. `detail` is for the log and holds no secret.
    case failed(detail: String)
}

extension BlobError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .notFound: "no such object"
        case .tooLarge: "object too large"
        case .incomplete: "fewer bytes than announced"
        case .outOfRange: "range is not inside the object"
        case .unavailable(let detail): "blob store unavailable: \(detail)"
        case .failed(let detail): "blob store failed: \(detail)"
        }
    }
}

extension BlobStore {
    /// Stores a whole object, or nothing.
    ///
    /// - Returns: Whether it was stored; false when another one is there, which is unchanged.
    /// - Throws: What the store throws, or `body`.
    package func put<Body: AsyncSequence>(
        _ key: FileKey, length: Int64, body: Body, publication: BlobPublication = .ifAbsent
    ) async throws -> Bool where Body.Element == ByteBuffer {
        let writer = try await self.begin(key, length: length)
        do {
            for try await bytes in body { try await writer.append(bytes) }
            let isPublished = try await writer.publish(publication)
            if !isPublished { await writer.abandon() }
            return isPublished
        } catch {
            await writer.abandon()
            throw error
        }
    }
}
