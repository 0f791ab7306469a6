import Crypto
import NIOCore
import NIOHTTP1
import SyncStorage
import Synchronization

/// An object on its way into a bucket: one part in memory, the ones before it in a multipart upload.
final class S3BlobWriter: BlobWriter {
    // fixed after init
    private let client: S3Client
    private let key: String
    private let length: Int64
    private let partBytes: Int

    // guarded by state
    private let state = Mutex(State())

    private struct State {
        var part = ByteBuffer()
        var hasher = SHA256()
        var taken: Int64 = 0
        /// Of the multipart upload; `nil` before its first part, or when the object is one part.
        var upload: String?
        /// What S3 said of each part, in order.
        var tags: [String] = []
        var isEnded = false
    }

    init(client: S3Client, key: String, length: Int64) {
        self.client = client
        self.key = key
        self.length = length
        self.partBytes = Self.partBytes(length: length)
    }

    /// So that there are not too many parts.
    static func partBytes(length: Int64) -> Int {
        max(S3Limits.partBytesMin, Int(length / S3Limits.partsMax) + 1)
    }

    func append(_ bytes: ByteBuffer) async throws(BlobError) {
        var bytes = bytes
        while bytes.readableBytes > 0 {
            let isFull = try self.state.withLock { state throws(BlobError) in
                guard !state.isEnded else { throw .failed(detail: "no unfinished object") }
                guard state.taken + Int64(bytes.readableBytes) <= self.length else { throw .tooLarge }
                if state.part.capacity == 0 {
                    state.part.reserveCapacity(Int(min(Int64(self.partBytes), self.length)))
                }
                let count = min(bytes.readableBytes, self.partBytes - state.part.readableBytes)
                guard let slice = bytes.readSlice(length: count) else { return false }
                slice.withUnsafeReadableBytes { state.hasher.update(bufferPointer: $0) }
                state.part.writeImmutableBuffer(slice)
                state.taken += Int64(count)
                return state.part.readableBytes == self.partBytes
            }
            // A single part waits for its publication.
            if isFull, self.length > self.partBytes { try await self.sendPart() }
        }
    }

    func finish() async throws(BlobError) {
        let (isWhole, isPartLeft) = self.state.withLock { state in
            (state.taken == self.length && !state.isEnded, state.part.readableBytes > 0)
        }
        guard isWhole else { throw .incomplete }
        if self.length > self.partBytes, isPartLeft { try await self.sendPart() }
    }

    func publish(_ publication: BlobPublication) async throws(BlobError) -> Bool {
        guard !self.state.withLock({ $0.isEnded }) else { throw .failed(detail: "no unfinished object") }
        try await self.finish()
        let isPublished =
            self.length > self.partBytes ? try await self.complete(publication) : try await self.put(publication)
        if isPublished { self.state.withLock { $0 = State(isEnded: true) } }
        return isPublished
    }

    func abandon() async {
        let upload = self.state.withLock { state in
            let upload = state.upload
            state = State(isEnded: true)
            return upload
        }
        guard let upload else { return }
        let client = self.client
        let key = self.key
        // A task of its own, awaited: requests of a cancelled one would end at once.
        await Task { await Self.abort(key: key, upload: upload, client) }.value
    }

    /// Tried once, because somebody waits for it: what cannot be ended now goes with the other leftovers.
    static func abort(key: String, upload: String, _ client: S3Client) async {
        _ = try? await client.send(
            S3Client.Request(method: .DELETE, key: key, query: [("uploadId", upload)], attemptsMax: 1))
    }

    // MARK: One part

    private func put(_ publication: BlobPublication) async throws(BlobError) -> Bool {
        let (body, hash) = self.state.withLock { ($0.part, SignatureV4.hex($0.hasher.finalize())) }
        var request = S3Client.Request(
            method: .PUT, key: self.key, headers: [("content-type", "application/octet-stream")], body: body,
            payloadHash: hash, timeout: S3Limits.uploadTimeout)
        return try await self.publish(&request, publication) { answer in answer.status == .ok }
    }

    // MARK: Several parts

    /// After a failure there is nothing to be done but to abandon the object.
    private func sendPart() async throws(BlobError) {
        do throws(BlobError) {
            try await self.sendPartOnce()
        } catch {
            self.state.withLock { $0.isEnded = true }
            throw error
        }
    }

    private func sendPartOnce() async throws(BlobError) {
        let upload: String
        if let begun = self.state.withLock({ $0.upload }) {
            upload = begun
        } else {
            upload = try await self.beginUpload()
            self.state.withLock { $0.upload = upload }
        }
        let (part, hash, number) = self.state.withLock { state in
            let part = S3Part(state.part)
            state.part = ByteBuffer()
            return (part, SignatureV4.hex(state.hasher.finalize()), state.tags.count + 1)
        }
        let request = S3Client.Request(
            method: .PUT, key: self.key, query: [("partNumber", "\(number)"), ("uploadId", upload)], part: part,
            payloadHash: hash, timeout: S3Limits.uploadTimeout)
        let answer = try await self.client.send(request)
        guard answer.status == .ok, let tag = answer.headers.first(name: "etag") else {
            throw .failed(detail: S3Client.describe(answer, to: request))
        }
        let room = part.takeRoom()
        self.state.withLock { state in
            state.tags.append(tag)
            state.part = room
            state.hasher = SHA256()
        }
    }

    private func beginUpload() async throws(BlobError) -> String {
        let request = S3Client.Request(
            method: .POST, key: self.key, query: [("uploads", "")],
            headers: [("content-type", "application/octet-stream")])
        let answer = try await self.client.send(request)
        guard answer.status == .ok, let upload = S3Answer.text("UploadId", in: answer.text[...]), !upload.isEmpty else {
            throw .failed(detail: S3Client.describe(answer, to: request))
        }
        return upload
    }

    private func complete(_ publication: BlobPublication) async throws(BlobError) -> Bool {
        let (upload, tags) = self.state.withLock { ($0.upload ?? "", $0.tags) }
        // Not every service looks at the condition here.
        if publication == .ifAbsent, try await self.isThere() { return false }
        let parts = tags.enumerated().map { index, tag in
            "<Part><PartNumber>\(index + 1)</PartNumber><ETag>\(Self.escaped(tag))</ETag></Part>"
        }
        let body = "<CompleteMultipartUpload>\(parts.joined())</CompleteMultipartUpload>"
        var request = S3Client.Request(
            method: .POST, key: self.key, query: [("uploadId", upload)], headers: [("content-type", "application/xml")],
            body: ByteBuffer(string: body), payloadHash: SignatureV4.hex(SHA256.hash(data: Array(body.utf8))),
            timeout: S3Limits.uploadTimeout)
        do {
            return try await self.publish(&request, publication) { answer in
                // The head is sent before the outcome is known.
                answer.status == .ok && answer.errorCode == nil
            }
        } catch {
            // An attempt whose answer was lost may have completed the upload, which is unknown then.
            guard try await S3BlobStore.length(of: self.key, self.client) == self.length,
                await self.isUploadGone(upload)
            else { throw error }
            return true
        }
    }

    private func isUploadGone(_ upload: String) async -> Bool {
        let request = S3Client.Request(method: .GET, key: self.key, query: [("uploadId", upload)])
        return (try? await self.client.send(request))?.errorCode == "NoSuchUpload"
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
            .replacing("\"", with: "&quot;")
    }

    // MARK: Conditions

    /// Sends the request that makes the object visible.
    ///
    /// For `.ifAbsent` with a condition, without one if the service knows none (docs/contract/storage.md §6.5): 412 means that
    /// there is an object. So does a second 409, which says that somebody else is just writing one.
    private func publish(
        _ request: inout S3Client.Request, _ publication: BlobPublication,
        isSuccess: (S3Client.Answer) -> Bool
    ) async throws(BlobError) -> Bool {
        guard publication == .ifAbsent else {
            let answer = try await self.client.send(request)
            guard isSuccess(answer) else { throw .failed(detail: S3Client.describe(answer, to: request)) }
            return true
        }
        let unconditional = request
        request.headers.append(("if-none-match", "*"))
        var answer = try await self.client.send(request)
        if answer.status == .conflict { answer = try await self.client.send(request) }
        switch answer.status {
        case .preconditionFailed, .conflict: return false
        case .notImplemented:
            if try await self.isThere() { return false }
            answer = try await self.client.send(unconditional)
        default: break
        }
        if answer.errorCode == "PreconditionFailed" { return false }
        guard isSuccess(answer) else { throw .failed(detail: S3Client.describe(answer, to: request)) }
        return true
    }

    private func isThere() async throws(BlobError) -> Bool {
        try await S3BlobStore.length(of: self.key, self.client) != nil
    }
}
