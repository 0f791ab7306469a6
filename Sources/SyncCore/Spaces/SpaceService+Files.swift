package import NIOCore
package import SyncProtocol
package import SyncStorage
import Synchronization

/// Files of a space, for the HTTP routes: what is recorded of them. Their bytes are in the blob store.
extension SpaceService {
    /// Creates the caller's personal space on first contact, as every authorized file request does
    /// (docs/contract/http.md §9.1 row 3). Does nothing for other spaces.
    package func firstContact(_ grant: ReadGrant) async throws(StorageError) {
        try await self.createOnFirstContact(grant.space, by: grant.creator)
    }

    /// As above, for an upload.
    package func firstContact(_ grant: WriteGrant) async throws(StorageError) {
        try await self.createOnFirstContact(grant.space, by: grant.creator)
    }

    /// - Throws: `.fileNotFound`.
    package func file(_ id: FileID, in grant: ReadGrant) async throws(StorageError) -> FileMetadata {
        try await self.storage.file(id, in: grant.space)
    }

    /// Whether a file is recorded, which is when it exists (Δ-H5).
    package func fileExists(_ id: FileID, in grant: WriteGrant) async throws(StorageError) -> Bool {
        try await self.storage.fileExists(id, in: grant.space)
    }

    /// Bytes of a file; `nil` when there is none.
    package func size(of id: FileID, in grant: WriteGrant) async throws(StorageError) -> Int64? {
        do {
            return try await self.storage.file(id, in: grant.space).size
        } catch .fileNotFound {
            return nil
        }
    }

    /// Whether there is, or was, such a record; a file must belong to one.
    package func recordExists(_ id: RecordID, in grant: WriteGrant) async throws(StorageError) -> Bool {
        try await self.storage.recordExists(id, in: grant.space)
    }

    /// Runs `body` while nobody else publishes or deletes the object of this file, in any server process. To be held from
    /// the publishing of an object to the end of `recordFile`; whether the file exists is to be asked again inside
    /// (docs/contract/storage.md §6.5).
    ///
    /// - Throws: `StorageError.unavailable` when the lock is not to be had; what `body` throws.
    package func withFileLock<Value: Sendable>(
        _ file: FileID, in grant: WriteGrant, _ body: () async throws -> Value
    ) async throws -> Value {
        try await self.storage.withFileLock(file, in: grant.space, body)
    }

    /// Records a file whose object is stored, and tells every subscriber of the space, the uploader's own connections
    /// included (docs/contract/http.md §9.4), in cursor order with everything else that happens in the space. Has told them
    /// when it returns.
    ///
    /// - Parameters:
    ///   - size: Bytes of the stored object.
    ///   - wrappedDEK: 44 bytes.
    /// - Returns: The file's cursor; `nil` when it was recorded already, which changes nothing and is told to nobody.
    /// - Throws: `.invalidWrappedDEK`, `.invalidFileSize`, `.spaceNotFound`; `.database` for an unknown record;
    ///   `.unavailable`. Whether the row was written is then to be found out with `fileExists`.
    package func recordFile(
        _ id: FileID, of record: RecordID, size: Int64, wrappedDEK: ByteBuffer, in grant: WriteGrant
    ) async throws(StorageError) -> Int64? {
        let file = NewFile(space: grant.space, id: id, recordID: record, size: size, wrappedDEK: wrappedDEK)
        let outcome = Mutex<Result<Int64?, StorageError>>(.failure(.unavailable))
        await self.relay.write(to: file.space) {
            await self.storage.recordFile(file) { result in
                if case .success(let cursor?) = result { self.announce(file, at: cursor) }
                outcome.withLock { $0 = result }
            }
        }
        return try outcome.withLock { $0 }.get()
    }

    private func announce(_ file: NewFile, at cursor: Int64) {
        self.relay.committed(file.space, at: cursor, from: nil) {
            let notification = FileNotification(
                space: file.space, cursor: cursor,
                files: [.init(id: file.id, recordID: file.recordID, size: file.size, dek: file.wrappedDEK)])
            return FrameEncoder.notification(method: .file, params: notification)
        }
    }
}
