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
        let root = configuration.fileStoragePath
        let fileBytesMax = Int64(configuration.fileBytesMax)
        let store: any BlobStore
        switch configuration.fileStorage {
        case .none:
            return nil
        case .local:
            let local = LocalBlobStore(root: root, fileBytesMax: fileBytesMax)
            try await local.prepare()
            try await local.removeUnfinished(before: Date() - Self.unfinishedLifetime)
            store = local
        case .s3:
            throw .failed(detail: "S3 is not supported by this version yet")
        }
        let uploads = PartialUploads(directory: root + "/uploads", limits: UploadLimits(fileBytesMax: fileBytesMax))
        try await uploads.prepare()
        return OpenedFileStorage(store: store, uploads: uploads)
    }
}
