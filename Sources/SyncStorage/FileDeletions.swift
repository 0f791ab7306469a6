package import SyncProtocol

/// An object that is to be deleted from the blob store, because the row of its file is gone.
package struct FileDeletion: Hashable, Sendable {
    /// Of the entry in the queue. One file may have several.
    package var number: Int64
    package var space: SpaceID
    package var file: FileID
    /// How often it was put off.
    package var attempts: Int32
    /// When it is (next) to be tried, in microseconds since 1970.
    package var dueAt: Int64

    package init(number: Int64, space: SpaceID, file: FileID, attempts: Int32, dueAt: Int64) {
        self.number = number
        self.space = space
        self.file = file
        self.attempts = attempts
        self.dueAt = dueAt
    }

    package var key: FileKey { FileKey(space: self.space, file: self.file) }
}

/// Objects that wait to be deleted (Δ-S7). Whatever removes the row of a file queues its object in the same transaction; the
/// queue outlives the process and the space.
///
/// Whoever works on an entry holds the file's lock, looks whether there is a row again (a new upload), and else deletes the
/// object; then it completes the entry.
package protocol FileDeletionStore: Sendable {
    /// Entries that are due, longest due first. Several servers may get the same.
    func dueFileDeletions(limit: Int) async throws(StorageError) -> [FileDeletion]

    /// The whole queue, due or not: the next entries with numbers above `number`, in order. None are the end.
    func fileDeletions(after number: Int64, limit: Int) async throws(StorageError) -> [FileDeletion]

    /// Queues an object that has no row, due at once.
    func queueFileDeletion(_ key: FileKey) async throws(StorageError)

    /// Removes an entry from the queue. One that is gone already is no failure.
    func completeFileDeletion(_ deletion: FileDeletion) async throws(StorageError)

    /// Makes an entry due after `delay` from now, and counts the attempt.
    func postponeFileDeletion(_ deletion: FileDeletion, by delay: Duration) async throws(StorageError)
}
