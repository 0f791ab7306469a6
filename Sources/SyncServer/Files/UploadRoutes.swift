import FoundationEssentials
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import SyncAuth
import SyncCore
import SyncProtocol
import SyncStorage

/// Resumable uploads of files (draft-ietf-httpbis-resumable-upload-12), beside the plain `PUT`, which knows nothing of them.
///
/// An upload belongs to the user who began it. Every request is authorized anew, as if it were the `PUT`. Each request takes
/// the upload, so that one which is still waiting on a dead connection ends.
struct UploadRoutes: Sendable {
    static let path = FileRoutes.path + "/uploads"
    static let uploadPath = Self.path + "/{upload_id}"
    static let mediaType = "application/partial-upload"

    let files: FileRoutes
    let uploads: PartialUploads

    var all: [HTTPRoute] {
        let headers = self.crossOriginHeaders
        return [
            HTTPRoute([.post], Self.path, streamsBody: true, headers: headers + self.discoveryHeaders) {
                request, context in
                try await self.reporting(context) { try await self.create(request, context) }
            },
            HTTPRoute([.head], Self.uploadPath, headers: headers) { request, context in
                try await self.reporting(context) { try await self.offset(request, context) }
            },
            HTTPRoute([.patch], Self.uploadPath, streamsBody: true) { request, context in
                try await self.reporting(context) { try await self.append(request, context) }
            },
            HTTPRoute([.delete], Self.uploadPath) { request, context in
                try await self.reporting(context) { try await self.cancel(request, context) }
            },
        ]
    }

    // MARK: - Requests

    private func create(_ request: Request, _ context: SyncRequestContext) async throws -> Response {
        let access = try await self.files.gate.authorizeWrite(request, context)
        let headers = try FileHeaders(request.headers)
        let fields = try UploadFields(request.headers)
        let length = try self.length(announcedBy: fields)
        guard try await self.files.spaces.recordExists(headers.record, in: access.grant) else {
            throw HTTPFailure.recordNotFound
        }
        guard try await !self.files.spaces.fileExists(access.file, in: access.grant) else {
            return try await self.alreadyStored(request)
        }
        let ticket = UploadTicket(
            owner: try Self.owner(context), key: FileKey(space: access.grant.space, file: access.file),
            recordID: headers.record, wrappedDEK: Array(headers.wrappedDEK.readableBytesView), length: length)
        let upload = try await self.uploads.create(ticket)
        try await self.receive(request, fields, into: upload, context)
        guard !fields.completes else { return try await self.complete(upload, access, context) }
        var response = Response(status: .created)
        response.headers[.location] = Self.location(of: upload)
        return await self.describing(upload, response)
    }

    private func offset(_ request: Request, _ context: SyncRequestContext) async throws -> Response {
        let access = try await self.files.gate.authorizeWrite(request, context)
        let upload: PartialUpload
        do {
            upload = try await self.take(access, context)
        } catch .notFound {
            // Finished is what an upload is whose file is there, whoever brought it.
            let size = try await self.files.spaces.size(of: access.file, in: access.grant)
            guard let size else { throw HTTPFailure.uploadNotFound }
            var response = Response(status: .noContent, headers: [.cacheControl: "no-store", .uploadComplete: "?1"])
            response.headers[.uploadOffset] = String(size)
            response.headers[.uploadLength] = String(size)
            return response
        }
        try await upload.suspend()
        return await self.describing(upload, Response(status: .noContent, headers: [.cacheControl: "no-store"]))
    }

    private func append(_ request: Request, _ context: SyncRequestContext) async throws -> Response {
        let access = try await self.files.gate.authorizeWrite(request, context)
        guard request.headers.readable(.contentType) == Self.mediaType else {
            throw HTTPFailure(.unsupportedMediaType, "Content-Type must be \(Self.mediaType)")
        }
        let fields = try UploadFields(request.headers)
        guard let offset = fields.offset else { throw HTTPFailure(.badRequest, "Upload-Offset header required") }
        let upload: PartialUpload
        do {
            upload = try await self.take(access, context)
        } catch .notFound {
            guard try await self.files.spaces.fileExists(access.file, in: access.grant) else {
                throw HTTPFailure.uploadNotFound
            }
            throw UploadProblem(kind: .completed)
        }
        guard offset == upload.offset else {
            throw UploadProblem(
                kind: .mismatchingOffset, expectedOffset: upload.offset, providedOffset: offset)
        }
        try Self.checkLength(of: upload, fields)
        try await self.receive(request, fields, into: upload, context)
        guard !fields.completes else { return try await self.complete(upload, access, context) }
        return await self.describing(upload, Response(status: .noContent))
    }

    private func cancel(_ request: Request, _ context: SyncRequestContext) async throws -> Response {
        let access = try await self.files.gate.authorizeWrite(request, context)
        let upload = try await self.take(access, context)
        await self.uploads.remove(upload.id)
        return Response(status: .noContent)
    }

    // MARK: - Steps

    /// Bytes of the whole file, as they have to be known when an upload begins.
    private func length(announcedBy fields: UploadFields) throws -> Int64 {
        let implied = fields.completes ? fields.contentLength : nil
        guard let length = fields.length ?? implied else {
            throw HTTPFailure(.badRequest, "Upload-Length header required")
        }
        guard length <= self.files.fileBytesMax else { throw HTTPFailure.fileTooLarge(self.files.fileBytesMax) }
        guard implied ?? length == length, fields.contentLength ?? 0 <= length else {
            throw UploadProblem(kind: .inconsistentLength)
        }
        return length
    }

    /// What a request announces has to fit what was announced when the upload began.
    private static func checkLength(of upload: PartialUpload, _ fields: UploadFields) throws(UploadProblem) {
        guard let length = upload.ticket.length else { return }
        guard fields.length ?? length == length else { throw UploadProblem(kind: .inconsistentLength) }
        guard let added = fields.contentLength else { return }
        let end = upload.offset + added
        guard fields.completes ? end == length : end <= length else {
            throw UploadProblem(kind: .inconsistentLength)
        }
    }

    /// Appends the body, and keeps what came of it however it ends.
    private func receive(
        _ request: Request, _ fields: UploadFields, into upload: PartialUpload, _ context: SyncRequestContext
    ) async throws {
        context.readsBody()
        let start = upload.offset
        do {
            try await upload.receive {
                for try await bytes in request.body {
                    self.files.traffic.received(bytes)
                    try await upload.append(bytes)
                }
            }
        } catch UploadError.tooLarge {
            throw UploadProblem(kind: .inconsistentLength)
        }
        let received = upload.offset - start
        guard fields.contentLength ?? received == received else { throw HTTPFailure.lengthMismatch }
        guard !fields.completes || upload.offset == upload.ticket.length else {
            throw UploadProblem(kind: .inconsistentLength)
        }
    }

    /// Makes a file of an upload that is whole. One that cannot be recorded now stays whole, to be completed later.
    private func complete(
        _ upload: PartialUpload, _ access: FileAccess<WriteGrant>, _ context: SyncRequestContext
    ) async throws -> Response {
        let headers = FileHeaders(
            record: upload.ticket.recordID, wrappedDEK: ByteBuffer(bytes: upload.ticket.wrappedDEK))
        guard try await self.files.spaces.recordExists(headers.record, in: access.grant) else {
            await self.uploads.remove(upload.id)
            var response = HTTPFailure.recordNotFound.response
            response.headers[.uploadComplete] = "?1"
            return response
        }
        let writer = try await upload.begin(in: self.files.blobs)
        var response = try await self.files.finish(writer, access, headers, upload.offset)
        await self.uploads.remove(upload.id)
        response.headers[.uploadComplete] = "?1"
        return response
    }

    /// The body of a file that is there already is of no use, but its sender wants to be heard out.
    private func alreadyStored(_ request: Request) async throws -> Response {
        let response = Response(status: .noContent, headers: [.uploadComplete: "?1"])
        guard !request.expectsContinue else { return response }
        var dropped = 0
        for try await bytes in request.body {
            self.files.traffic.received(bytes)
            dropped += bytes.readableBytes
            guard dropped <= self.files.fileBytesMax else { break }
        }
        return response
    }

    private func take(
        _ access: FileAccess<WriteGrant>, _ context: SyncRequestContext
    ) async throws(UploadError) -> PartialUpload {
        guard let id: UploadID = context.identifier("upload_id"), let owner = try? Self.owner(context) else {
            throw .notFound
        }
        let ticket = try await self.uploads.ticket(of: id)
        guard ticket.owner == owner, ticket.key == FileKey(space: access.grant.space, file: access.file) else {
            throw .notFound
        }
        return try await self.uploads.take(id)
    }

    private static func owner(_ context: SyncRequestContext) throws(HTTPFailure) -> String {
        guard let principal = context.principal else { throw .internalError }
        return principal.issuer + "\u{0}" + principal.userID
    }

    // MARK: - Answers

    private static func location(of upload: PartialUpload) -> String {
        let key = upload.ticket.key
        return "/api/v1/spaces/\(key.space.wireText)/files/\(key.file.wireText)/uploads/\(upload.id.wireText)"
    }

    private func describing(_ upload: PartialUpload, _ response: Response) async -> Response {
        var response = response
        response.headers[.uploadComplete] = "?0"
        response.headers[.uploadOffset] = String(upload.offset)
        if let length = upload.ticket.length { response.headers[.uploadLength] = String(length) }
        response.headers[.uploadLimit] = self.limits
        if let expiry = try? await self.uploads.expiry(of: upload.id) {
            response.headers[.uploadLimit] = self.limits + ", max-age=\(max(0, Int(expiry.timeIntervalSinceNow)))"
        }
        return response
    }

    private var limits: String { "max-size=\(self.files.fileBytesMax)" }

    /// For `OPTIONS`, and for whoever asks a browser.
    private var discoveryHeaders: HTTPFields { [.acceptPatch: Self.mediaType, .uploadLimit: self.limits] }

    /// What scripts of other origins need beyond the common headers.
    private var crossOriginHeaders: HTTPFields {
        let fields = "Upload-Complete, Upload-Length, Upload-Offset, Upload-Draft-Interop-Version"
        return [
            .accessControlAllowMethods: "GET, PUT, HEAD, POST, PATCH, DELETE, OPTIONS",
            .accessControlAllowHeaders:
                "Content-Type, Content-Length, Authorization, X-UCAN, X-Wrapped-DEK, X-Record-ID, \(fields)",
            .accessControlExposeHeaders: "X-Wrapped-DEK, Location, Upload-Limit, \(fields)",
            .uploadDraftInteropVersion: UploadFields.interopVersion,
        ]
    }

    private func reporting(
        _ context: SyncRequestContext, _ body: () async throws -> Response
    ) async throws -> Response {
        try await self.files.reporting(context) {
            do {
                return try await body()
            } catch let problem as UploadProblem {
                return problem.response
            } catch let failure as HTTPFailure where failure.status == .contentTooLarge {
                var response = failure.response
                response.headers[.uploadLimit] = self.limits
                return response
            } catch let error as UploadError {
                switch error {
                case .notFound: throw HTTPFailure.uploadNotFound
                case .superseded: throw HTTPFailure(.conflict, "upload continued by another request")
                case .tooLarge: throw HTTPFailure.fileTooLarge(self.files.fileBytesMax)
                case .tooMuchUnfinished: throw HTTPFailure(.tooManyRequests, "too many unfinished uploads")
                case .blob(let cause): throw cause
                }
            }
        }
    }
}

extension HTTPFailure {
    static let uploadNotFound = HTTPFailure(.notFound, "upload not found")
}
