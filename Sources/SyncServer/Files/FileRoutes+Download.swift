import FoundationEssentials
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import SyncCore
import SyncProtocol
import SyncStorage

extension FileRoutes {
    func get(_ request: Request, _ context: SyncRequestContext) async throws -> Response {
        let file = try await self.metadata(request, context)
        if EntityTag.isNamed(file.tag, by: request.headers[values: .ifNoneMatch]) { return file.notModified }
        switch self.range(of: request, file) {
        case .whole:
            return try await self.response(.ok, file, 0..<file.row.size, context)
        case .part(let range):
            var response = try await self.response(.partialContent, file, range, context)
            response.headers[.contentRange] = "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(file.row.size)"
            return response
        case .unsatisfiable:
            var response = HTTPFailure(.rangeNotSatisfiable, "range not satisfiable").response
            response.headers[.contentRange] = "bytes */\(file.row.size)"
            return response
        }
    }

    /// The row alone decides; the object is not looked at (docs/contract/http.md §9.3).
    func head(_ request: Request, _ context: SyncRequestContext) async throws -> Response {
        let file = try await self.metadata(request, context)
        if EntityTag.isNamed(file.tag, by: request.headers[values: .ifNoneMatch]) { return file.notModified }
        var headers = file.headers
        headers[.contentLength] = String(file.row.size)
        return Response(status: .ok, headers: headers)
    }

    private func metadata(_ request: Request, _ context: SyncRequestContext) async throws -> RequestedFile {
        let access = try await self.gate.authorizeRead(request, context)
        do {
            let row = try await self.spaces.file(access.file, in: access.grant)
            return RequestedFile(key: FileKey(space: access.grant.space, file: access.file), row: row)
        } catch .fileNotFound {
            // A file is proof that its space is there.
            try await self.spaces.firstContact(access.grant)
            throw HTTPFailure.fileNotFound
        }
    }

    /// A range is for the representation that the client has a part of.
    private func range(of request: Request, _ file: RequestedFile) -> ByteRange {
        guard let range = request.headers[values: .range].first else { return .whole }
        if let condition = request.headers[values: .ifRange].first, condition != file.tag { return .whole }
        return ByteRange(range, size: file.row.size)
    }

    private func response(
        _ status: HTTPResponse.Status, _ file: RequestedFile, _ range: Range<Int64>, _ context: SyncRequestContext
    ) async throws -> Response {
        let content: BlobContent
        do {
            content = try await self.blobs.open(file.key, range: range)
        } catch .notFound {
            throw HTTPFailure.fileNotFound
        }
        guard content.length == file.row.size else {
            throw BlobError.failed(detail: "\(content.length) bytes instead of \(file.row.size)")
        }
        let count = range.upperBound - range.lowerBound
        let body = ResponseBody(contentLength: Int(count)) { writer in
            do {
                if let file = content.file {
                    try await self.send(file, range, context)
                } else {
                    try await self.send(content.body, count, context)
                }
            } catch let error as BlobError {
                // The head is gone; that the body ends early is all that can still be said.
                context.logger.error("file download failed", metadata: ["error": "\(error)"])
                throw error
            }
            try await writer.finish(nil)
        }
        return Response(status: status, headers: file.headers, body: body)
    }

    /// While one piece is being sent the next is brought to memory.
    private func send(
        _ file: any BlobFile, _ range: Range<Int64>, _ context: SyncRequestContext
    ) async throws {
        var onItsWay: EventLoopFuture<Void>?
        for start in stride(from: range.lowerBound, to: range.upperBound, by: Int(BlobContent.pieceBytes)) {
            let piece = start..<min(start + BlobContent.pieceBytes, range.upperBound)
            if let previous = onItsWay {
                try await file.prefetch(piece)
                try await context.wait(for: previous)
            }
            let sent = context.send(.fileRegion(try file.region(piece)))
            self.traffic.sends(piece.count, sent)
            onItsWay = sent
        }
    }

    /// While one piece is being sent the next is read.
    private func send(
        _ body: any AsyncSequence<ByteBuffer, BlobError>, _ count: Int64, _ context: SyncRequestContext
    ) async throws {
        var onItsWay: EventLoopFuture<Void>?
        var sent: Int64 = 0
        for try await bytes in body {
            sent += Int64(bytes.readableBytes)
            if let previous = onItsWay { try await context.wait(for: previous) }
            let now = context.send(.byteBuffer(bytes))
            self.traffic.sends(bytes.readableBytes, now)
            onItsWay = now
        }
        guard sent == count else { throw BlobError.incomplete }
    }
}

/// A file that exists, as it is shown.
struct RequestedFile: Sendable {
    let key: FileKey
    let row: FileMetadata

    /// Strong: the bytes of a file never change.
    var tag: String { "\"\(self.key.file.wireText)\"" }

    var headers: HTTPFields {
        [
            .contentType: "application/octet-stream",
            .acceptRanges: "bytes",
            .eTag: self.tag,
            .wrappedDEK: Data(self.row.wrappedDEK.readableBytesView).base64EncodedString(),
        ]
    }

    /// The DEK may have changed though the bytes have not.
    var notModified: Response {
        var headers = self.headers
        headers[.contentType] = nil
        return Response(status: .notModified, headers: headers)
    }
}
