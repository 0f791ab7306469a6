import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import SyncCore
import SyncProtocol
import SyncStorage

extension FileRoutes {
    /// Every check before the first byte of the body; then, for a file that does not exist, the steps of
    /// docs/contract/http.md §9.2.
    func put(_ request: Request, _ context: SyncRequestContext) async throws -> Response {
        let access = try await self.gate.authorizeWrite(request, context)
        let headers = try FileHeaders(request.headers)
        let length = try request.headers.declaredLength(atMost: self.fileBytesMax)
        guard try await self.spaces.recordExists(headers.record, in: access.grant) else {
            throw HTTPFailure.recordNotFound
        }
        if try await self.spaces.fileExists(access.file, in: access.grant) {
            return try await self.discard(request, length)
        }
        let writer = try await self.begin(access, length)
        return try await self.finish(writer, access, headers, length) {
            context.readsBody()
            var body = BodyLength(declared: length)
            for try await bytes in request.body {
                self.traffic.received(bytes)
                try body.count(bytes)
                try await writer.append(bytes)
            }
            try body.end()
        }
    }

    /// What a file that exists is sent again is of no use. A client that waits to be asked for it is not.
    private func discard(_ request: Request, _ length: Int64) async throws -> Response {
        guard !request.expectsContinue else { return Response(status: .noContent) }
        var body = BodyLength(declared: length)
        for try await bytes in request.body {
            self.traffic.received(bytes)
            try body.count(bytes)
        }
        try body.end()
        return Response(status: .noContent)
    }

    private func begin(_ access: FileAccess<WriteGrant>, _ length: Int64) async throws -> any BlobWriter {
        let key = FileKey(space: access.grant.space, file: access.file)
        do {
            return try await self.blobs.begin(key, length: length)
        } catch .tooLarge {
            throw HTTPFailure.fileTooLarge(self.fileBytesMax)
        }
    }

    /// Fills an object, publishes it and records the file, or leaves nothing behind.
    ///
    /// - Parameter fill: Appends all bytes.
    func finish(
        _ writer: any BlobWriter, _ access: FileAccess<WriteGrant>, _ headers: FileHeaders, _ length: Int64,
        fill: () async throws -> Void = {}
    ) async throws -> Response {
        do {
            try await fill()
            try await writer.finish()
            let isNew = try await self.spaces.withFileLock(access.file, in: access.grant) {
                guard try await !self.spaces.fileExists(access.file, in: access.grant) else {
                    await writer.abandon()
                    return false
                }
                // Without a row, an object that is there was left by an upload that failed.
                _ = try await writer.publish(.replacing)
                return try await self.record(access, headers, length)
            }
            return Response(status: isNew ? .created : .noContent)
        } catch {
            await writer.abandon()
            throw error
        }
    }

    /// Holds the file's lock. An object whose file could not be recorded is removed, unless it has been recorded all the same.
    private func record(
        _ access: FileAccess<WriteGrant>, _ headers: FileHeaders, _ length: Int64
    ) async throws -> Bool {
        do {
            let cursor = try await self.spaces.recordFile(
                access.file, of: headers.record, size: length, wrappedDEK: headers.wrappedDEK, in: access.grant)
            return cursor != nil
        } catch {
            // What cannot be found out or removed now is found by the sweep of objects without rows.
            if let exists = try? await self.spaces.fileExists(access.file, in: access.grant), !exists {
                try? await self.blobs.delete(FileKey(space: access.grant.space, file: access.file))
            }
            throw error
        }
    }
}

/// Compares a body with its declared length while it arrives.
struct BodyLength: Hashable, Sendable {
    let declared: Int64
    private(set) var received: Int64 = 0

    init(declared: Int64) { self.declared = declared }

    mutating func count(_ bytes: ByteBuffer) throws(HTTPFailure) {
        self.received += Int64(bytes.readableBytes)
        guard self.received <= self.declared else { throw .lengthMismatch }
    }

    func end() throws(HTTPFailure) {
        guard self.received == self.declared else { throw .lengthMismatch }
    }
}

extension Request {
    /// The client sends its body when it is asked to.
    var expectsContinue: Bool {
        self.headers[values: .expect].contains { $0.lowercased() == "100-continue" }
    }
}
