import FoundationEssentials
package import SyncStorage

/// The file storage that `FILE_STORAGE_BACKEND` names: finished objects, and resumable uploads on the way there.
package struct OpenedFileStorage: Sendable {
    /// Seconds after which an object in the making belongs to nobody (docs/contract/storage.md §6.5).
    static let unfinishedLifetime: TimeInterval = 24 * 3_600

    package let store: any BlobStore
    package let uploads: PartialUploads

    package init(store: any BlobStore, uploads: PartialUploads) {
        self.store = store
        self.uploads = uploads
    }

    /// Step 6 of docs/contract/operations.md §3; no network is used.
    ///
    /// - Returns: `nil` without file storage: then there are no file routes.
    /// - Throws: `.failed` when a directory cannot be made or used.
    package static func open(_ configuration: ServerConfiguration) async throws(BlobError) -> OpenedFileStorage? {
        guard let store = Self.store(of: configuration) else { return nil }
        let uploads = PartialUploads(
            directory: configuration.fileStoragePath + "/uploads",
            limits: UploadLimits(fileBytesMax: Int64(configuration.fileBytesMax)))
        do throws(BlobError) {
            try await store.prepare()
            if configuration.fileStorage == .local {
                try await store.removeUnfinished(before: Date() - Self.unfinishedLifetime)
            }
            try await uploads.prepare()
        } catch {
            await store.close()
            throw .failed(
                detail: "FILE_STORAGE_PATH \(ConfigurationError.quoted(configuration.fileStoragePath)): \(error)")
        }
        return OpenedFileStorage(store: store, uploads: uploads)
    }

    /// The store for a tool that makes nothing.
    ///
    /// - Throws: `.failed` when a local directory is not there, or is not one of a store.
    static func existingStore(of configuration: ServerConfiguration) async throws(BlobError) -> (any BlobStore)? {
        guard let store = Self.store(of: configuration) else { return nil }
        if configuration.fileStorage == .local {
            do throws(BlobError) {
                try await LocalBlobStore.check(root: configuration.fileStoragePath)
            } catch {
                await store.close()
                throw error
            }
        }
        return store
    }

    /// The store as it is configured, not prepared.
    static func store(of configuration: ServerConfiguration) -> (any BlobStore)? {
        let fileBytesMax = Int64(configuration.fileBytesMax)
        return switch configuration.fileStorage {
        case .none: nil
        case .local: LocalBlobStore(root: configuration.fileStoragePath, fileBytesMax: fileBytesMax)
        case .s3: S3BlobStore(configuration.s3, fileBytesMax: fileBytesMax)
        }
    }
}
