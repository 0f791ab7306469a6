import HTTPTypes
import Hummingbird
import Logging
package import Metrics
import NIOCore
package import SyncCore
import SyncProtocol
import SyncStorage

/// Encrypted files over HTTP (docs/contract/http.md §9).
package struct FileRoutes: Sendable {
    static let path = "/api/v1/spaces/{space_id}/files/{id}"

    let gate: FileGate
    let spaces: SpaceService
    let blobs: any BlobStore
    /// `MAX_FILE_SIZE`.
    let fileBytesMax: Int

    let traffic: FileTraffic

    private let uploads: PartialUploads

    package init(
        engine: SyncEngine, storage: OpenedFileStorage, fileBytesMax: Int,
        metrics: any MetricsFactory = NOOPMetricsHandler.instance
    ) {
        self.traffic = FileTraffic(factory: metrics)
        self.gate = FileGate(authorizer: engine.authorizer, spaces: engine.spaces)
        self.spaces = engine.spaces
        self.blobs = storage.store
        self.uploads = storage.uploads
        self.fileBytesMax = fileBytesMax
    }

    package var all: [HTTPRoute] { self.plain + UploadRoutes(files: self, uploads: self.uploads).all }

    private var plain: [HTTPRoute] {
        [
            HTTPRoute([.put], Self.path, streamsBody: true) { request, context in
                try await self.reporting(context) { try await self.put(request, context) }
            },
            HTTPRoute([.get], Self.path) { request, context in
                try await self.reporting(context) { try await self.get(request, context) }
            },
            HTTPRoute([.head], Self.path) { request, context in
                try await self.reporting(context) { try await self.head(request, context) }
            },
        ]
    }

    /// What goes wrong in a store is for the log; the client learns that it did.
    func reporting(
        _ context: SyncRequestContext, _ body: () async throws -> Response
    ) async throws -> Response {
        do {
            return try await body()
        } catch let failure as HTTPFailure {
            throw failure
        } catch let error as StorageError {
            context.logger.error("file request failed", metadata: ["error": "\(error)"])
        } catch let error as BlobError {
            context.logger.error("file request failed", metadata: ["error": "\(error)"])
        }
        throw HTTPFailure.internalError
    }
}
