import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import SyncProtocol

extension FileTransfer {
    /// Stores a file in several requests, each of which is tried again when the connection is lost, from where the server says
    /// that it has got to (draft-ietf-httpbis-resumable-upload-12).
    ///
    /// - Returns: Whether it was stored now; `false` when it existed already.
    /// - Throws: `FileTransferError` when the server refuses, or six attempts in a row have failed; what `source` throws.
    @discardableResult
    public func uploadResumably(_ upload: Upload, from source: @escaping Source) async throws -> Bool {
        var failures = 0
        var location: String?
        var offset: Int64?
        while true {
            do {
                guard let url = location else {
                    guard let created = try await self.create(upload) else { return false }
                    location = created
                    offset = 0
                    continue
                }
                guard let start = offset else {
                    guard let found = try await self.offset(of: url) else { return true }
                    offset = found
                    continue
                }
                switch try await self.append(to: url, from: start, of: upload, source) {
                case .done(let isNew): return isNew
                case .at(let next):
                    if next > start { failures = 0 }
                    offset = next
                }
            } catch let error as FileTransferError where error.isTemporary {
                failures += 1
                guard failures < Self.attemptsMax else { throw error }
                try await self.clock.sleep(for: .milliseconds(100 << failures))
                offset = nil
            }
        }
    }

    private enum Progress {
        case at(Int64)
        case done(isNew: Bool)
    }

    /// - Returns: The address of the upload; `nil` when the file exists already.
    private func create(_ upload: Upload) async throws -> String? {
        var request = self.request(.POST, self.uploadsURL(of: upload.file))
        self.describe(upload, &request)
        Self.mark(&request, completes: false)
        request.headers.add(name: "Upload-Length", value: String(upload.length))
        request.headers.add(name: "Content-Length", value: "0")
        let answer = try await self.send(request)
        switch answer.status {
        case 204: return nil
        case 201:
            guard let location = answer.headers.first(name: "location") else {
                throw FileTransferError.missing("Location")
            }
            return try self.url(of: location)
        default: throw answer.refusal
        }
    }

    /// - Returns: `nil` when the upload is complete.
    private func offset(of url: String) async throws -> Int64? {
        let answer = try await self.send(self.request(.HEAD, url))
        guard answer.status == 204 || answer.status == 200 else { throw answer.refusal }
        if answer.headers.first(name: "upload-complete") == "?1" { return nil }
        guard let offset = answer.integer("upload-offset") else { throw FileTransferError.missing("Upload-Offset") }
        return offset
    }

    private func append(
        to url: String, from offset: Int64, of upload: Upload, _ source: @escaping Source
    ) async throws -> Progress {
        guard (0...upload.length).contains(offset) else {
            throw FileTransferError.protocolViolation("an offset of \(offset) in \(upload.length) bytes")
        }
        let end = min(offset + Self.appendBytesMax, upload.length)
        var request = self.request(.PATCH, url)
        Self.mark(&request, completes: end == upload.length)
        request.headers.add(name: "Content-Type", value: "application/partial-upload")
        request.headers.add(name: "Upload-Offset", value: String(offset))
        request.body = .stream(SourceBytes(source: source, range: offset..<end), length: .known(end - offset))
        let answer = try await self.send(request)
        switch (answer.status, answer.headers.first(name: "upload-complete")) {
        case (201, "?1"): return .done(isNew: true)
        case (204, "?1"): return .done(isNew: false)
        case (204, _), (409, _):
            guard let next = answer.integer("upload-offset") else { throw answer.refusal }
            return .at(next)
        default: throw answer.refusal
        }
    }

    private static func mark(_ request: inout HTTPClientRequest, completes: Bool) {
        request.headers.add(name: "Upload-Draft-Interop-Version", value: "8")
        request.headers.add(name: "Upload-Complete", value: completes ? "?1" : "?0")
    }
}
