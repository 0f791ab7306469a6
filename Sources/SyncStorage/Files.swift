package import NIOCore
package import SyncProtocol
import Synchronization

/// What is recorded of a file whose object is stored (docs/contract/storage.md §6.4).
package struct NewFile: Hashable, Sendable {
    package var space: SpaceID
    package var id: FileID
    package var recordID: RecordID
    /// Bytes of the stored object.
    package var size: Int64
    package var wrappedDEK: ByteBuffer

    package init(space: SpaceID, id: FileID, recordID: RecordID, size: Int64, wrappedDEK: ByteBuffer) {
        self.space = space
        self.id = id
        self.recordID = recordID
        self.size = size
        self.wrappedDEK = wrappedDEK
    }
}

/// One row of `files`.
package struct FileMetadata: Hashable, Sendable {
    package var id: FileID
    package var recordID: RecordID
    /// Bytes of the stored object.
    package var size: Int64
    package var wrappedDEK: ByteBuffer
    package var cursor: Int64

    package init(id: FileID, recordID: RecordID, size: Int64, wrappedDEK: ByteBuffer, cursor: Int64) {
        self.id = id
        self.recordID = recordID
        self.size = size
        self.wrappedDEK = wrappedDEK
        self.cursor = cursor
    }
}

/// A recorded file among those of all spaces.
package struct RecordedFile: Hashable, Sendable {
    package var key: FileKey
    /// Bytes of the stored object.
    package var size: Int64

    package init(key: FileKey, size: Int64) {
        self.key = key
        self.size = size
    }
}

/// Files of spaces: their rows, not their bytes (docs/contract/storage.md §6.4). A row that another program flagged deleted
/// is absent, but for a pull (Δ-S6).
package protocol FileStore: Sendable {
    /// Records a file whose object is stored, in one transaction under the space lock: the file gets the space's next cursor.
    /// One that is recorded already keeps its first values, and the cursor stays. Takes its turn among the pushes to the
    /// space, and returns once `committed` has returned; cancelling the task does not take it back.
    ///
    /// - Parameter committed: Called exactly once, after the commit (or the failure, with nothing written), in cursor order
    ///   with the pushes to the space. It must not block. Gets the new cursor, or `nil` for a file that was recorded already.
    ///   Failures are the first of `.invalidWrappedDEK`, `.invalidFileSize` and `.spaceNotFound`; `.database` for an unknown
    ///   record; `.unavailable`.
    func recordFile(
        _ file: NewFile, committed: @escaping @Sendable (Result<Int64?, StorageError>) -> Void) async

    /// - Throws: `.fileNotFound`, also for an unknown space.
    func file(_ id: FileID, in space: SpaceID) async throws(StorageError) -> FileMetadata

    func fileExists(_ id: FileID, in space: SpaceID) async throws(StorageError) -> Bool

    /// Removes the files of these records and returns their ids in any order; the cursor stays. No records: no files,
    /// without touching the database.
    func deleteFiles(of records: [RecordID], in space: SpaceID) async throws(StorageError) -> [FileID]

    /// Recorded files of all spaces in ascending order of their keys: the next ones behind `key`, the first ones for `nil`.
    /// None are the end. For the comparison with what is stored.
    func files(after key: FileKey?, limit: Int) async throws(StorageError) -> [RecordedFile]

    /// Removes the row of one file whose object is lost, so that it can be uploaded again; the cursor of the space stays. No
    /// deletion of the object is queued, nor left in the queue: should it exist after all, in a store that was not asked, it
    /// stays there.
    ///
    /// - Parameter cursor: Of the row that was read: one that was recorded again since is another one.
    /// - Returns: Whether there was such a row.
    func removeFile(_ id: FileID, in space: SpaceID, recordedAt cursor: Int64) async throws(StorageError) -> Bool

    /// Runs `body` while nobody else, in this process or another one on the database, runs one for this file. Held from the
    /// publishing of an object to `recordFile`, and for the deletion of an object (§6.5).
    ///
    /// - Throws: `StorageError.unavailable` when the lock is not to be had within the time limit, or the task is cancelled
    ///   while it waits; what `body` throws.
    func withFileLock<Result: Sendable>(
        _ file: FileID, in space: SpaceID, _ body: () async throws -> Result
    ) async throws -> Result

    /// Whether these locks keep every other process on the database away. Not those of a tool beside a server on SQLite, whose
    /// locks are in its process.
    var sharesFileLocks: Bool { get }
}

extension FileStore {
    /// `recordFile` for a caller that does not need the ordering of `committed`.
    package func recordFile(_ file: NewFile) async throws(StorageError) -> Int64? {
        let outcome = Mutex<Result<Int64?, StorageError>>(.failure(.unavailable))
        await self.recordFile(file) { result in outcome.withLock { $0 = result } }
        return try outcome.withLock { $0 }.get()
    }
}

extension NewFile {
    /// The first two checks of `recordFile`.
    package func validate() throws(StorageError) {
        guard self.wrappedDEK.readableBytes == Limits.wrappedDEKBytes else { throw .invalidWrappedDEK }
        guard self.size >= 0 else { throw .invalidFileSize }
    }
}
