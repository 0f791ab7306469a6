import AsyncHTTPClient
package import FoundationEssentials
import NIOCore
import NIOHTTP1
package import SyncStorage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Objects in a bucket of an S3-compatible service (docs/contract/storage.md §6.5), at the same paths as in a directory.
///
/// An object of up to one part is held in memory and sent when it is published; a larger one is a multipart upload, which
/// becomes visible when it is completed.
package struct S3BlobStore: BlobStore {
    private let client: S3Client
    private let fileBytesMax: Int64

    /// - Parameter variables: checked. No connection is made.
    package init(_ variables: S3Variables, fileBytesMax: Int64) {
        self.init(client: S3Client(variables), fileBytesMax: fileBytesMax)
    }

    init(client: S3Client, fileBytesMax: Int64) {
        self.client = client
        self.fileBytesMax = fileBytesMax
    }

    package func prepare() {}

    package func close() async { await self.client.close() }

    package func begin(_ key: FileKey, length: Int64) async throws(BlobError) -> any BlobWriter {
        guard length <= self.fileBytesMax else { throw .tooLarge }
        return S3BlobWriter(client: self.client, key: key.path, length: length)
    }

    package func begin(
        _ key: FileKey, fromFile path: String, length: Int64
    ) async throws(BlobError) -> any BlobWriter {
        guard length <= self.fileBytesMax else { throw .tooLarge }
        let file = try await FileThreads.shared.run { () throws(BlobError) in
            let file = try OpenFile(path, O_RDONLY | O_NOFOLLOW)
            guard try file.attributes().length == length else { throw .incomplete }
            return file
        }
        let writer = try await self.begin(key, length: length)
        do throws(BlobError) {
            for try await bytes in FileBody(file, range: 0..<length) { try await writer.append(bytes) }
            try await writer.finish()
            return writer
        } catch {
            await writer.abandon()
            throw error
        }
    }

    package func open(_ key: FileKey, range: Range<Int64>?) async throws(BlobError) -> BlobContent {
        if let range, range.isEmpty { return try await self.openNothing(key, at: range.lowerBound) }
        var request = S3Client.Request(method: .GET, key: key.path)
        if let range { request.headers = [("range", "bytes=\(range.lowerBound)-\(range.upperBound - 1)")] }
        let asked = request
        let response = try await self.client.open(request, statuses: [range == nil ? .ok : .partialContent]) { answer in
            switch answer.status {
            case .notFound where answer.errorCode == nil || answer.errorCode == "NoSuchKey": .notFound
            case .rangeNotSatisfiable: .outOfRange
            default: .failed(detail: S3Client.describe(answer, to: asked))
            }
        }
        let length = response.headers.first(name: "content-length").flatMap { Int64($0) }
        guard let range else {
            guard let length else { throw .failed(detail: "an object without a length") }
            return BlobContent(length: length, body: S3Body(body: response.body, length: length))
        }
        guard let whole = Self.lengthOfWhole(response.headers.first(name: "content-range"), range) else {
            throw .failed(detail: "an answer without the range that was asked for")
        }
        guard range.upperBound <= whole else { throw .outOfRange }
        return BlobContent(length: whole, body: S3Body(body: response.body, length: Int64(range.count)))
    }

    package func length(of key: FileKey) async throws(BlobError) -> Int64? {
        try await Self.length(of: key.path, self.client)
    }

    package func delete(_ key: FileKey) async throws(BlobError) {
        let request = S3Client.Request(method: .DELETE, key: key.path)
        let answer = try await self.client.send(request)
        guard [200, 204].contains(answer.status.code) || answer.errorCode == "NoSuchKey" else {
            throw .failed(detail: S3Client.describe(answer, to: request))
        }
    }

    package func list() -> any BlobListing { S3BlobListing(client: self.client) }

    /// Ends multipart uploads that a process left behind.
    package func removeUnfinished(before date: Date) async throws(BlobError) {
        var markers: [(name: String, value: String)] = []
        while true {
            let request = S3Client.Request(
                method: .GET, query: [("uploads", ""), ("prefix", "spaces/"), ("max-uploads", "1000")] + markers)
            let answer = try await self.client.send(request)
            guard answer.status == .ok else { throw .failed(detail: S3Client.describe(answer, to: request)) }
            let text = answer.text[...]
            for upload in S3Answer.elements("Upload", in: text) {
                guard let key = S3Answer.text("Key", in: upload), FileKey(path: key) != nil,
                    let id = S3Answer.text("UploadId", in: upload),
                    let initiated = S3Answer.text("Initiated", in: upload).flatMap(S3Answer.date), initiated < date
                else { continue }
                await S3BlobWriter.abort(key: key, upload: id, self.client)
            }
            guard S3Answer.text("IsTruncated", in: text) == "true",
                let key = S3Answer.text("NextKeyMarker", in: text), !key.isEmpty
            else { return }
            let next = [("key-marker", key), ("upload-id-marker", S3Answer.text("NextUploadIdMarker", in: text) ?? "")]
            guard !next.elementsEqual(markers, by: ==) else { throw S3BlobListing.standsStill }
            markers = next
        }
    }

    private func openNothing(_ key: FileKey, at offset: Int64) async throws(BlobError) -> BlobContent {
        guard let length = try await self.length(of: key) else { throw .notFound }
        guard offset <= length else { throw .outOfRange }
        return BlobContent(length: length, body: S3Body(body: HTTPClientResponse.Body(), length: 0))
    }

    static func length(of key: String, _ client: S3Client) async throws(BlobError) -> Int64? {
        let request = S3Client.Request(method: .HEAD, key: key)
        let answer = try await client.send(request)
        switch answer.status {
        case .ok:
            guard let length = answer.headers.first(name: "content-length").flatMap({ Int64($0) }) else {
                throw .failed(detail: "an object without a length")
            }
            return length
        case .notFound: return nil
        default: throw .failed(detail: S3Client.describe(answer, to: request))
        }
    }

    /// The length in `bytes 0-9/100` if the range begins where it was asked to; its end may be that of the object.
    static func lengthOfWhole(_ header: String?, _ range: Range<Int64>) -> Int64? {
        guard let header, header.hasPrefix("bytes "), let slash = header.lastIndex(of: "/"),
            let whole = Int64(header[header.index(after: slash)...])
        else { return nil }
        let end = min(range.upperBound, whole) - 1
        return header[..<slash] == "bytes \(range.lowerBound)-\(end)" ? whole : nil
    }
}

/// The body of an answer, of which `length` bytes are to come.
struct S3Body: AsyncSequence, Sendable {
    typealias Element = ByteBuffer
    typealias Failure = BlobError

    let body: HTTPClientResponse.Body
    let length: Int64

    struct AsyncIterator: AsyncIteratorProtocol {
        var base: HTTPClientResponse.Body.AsyncIterator
        var missing: Int64

        mutating func next() async throws(BlobError) -> ByteBuffer? { try await self.next(isolation: nil) }

        mutating func next(isolation: isolated (any Actor)?) async throws(BlobError) -> ByteBuffer? {
            let bytes: ByteBuffer?
            do {
                bytes = try await self.base.next(isolation: isolation)
            } catch {
                throw .unavailable(detail: "GET: \(error)")
            }
            self.missing -= Int64(bytes?.readableBytes ?? 0)
            guard self.missing >= 0, bytes != nil || self.missing == 0 else {
                throw .failed(detail: "an object of another length than announced")
            }
            return bytes
        }
    }

    func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(base: self.body.makeAsyncIterator(), missing: self.length)
    }
}

/// Walks through the bucket a page at a time.
struct S3BlobListing: BlobListing {
    let client: S3Client
    private var continuation: String?
    private var isAtEnd = false

    init(client: S3Client) { self.client = client }

    mutating func next() async throws(BlobError) -> [BlobEntry] {
        var entries: [BlobEntry] = []
        while entries.isEmpty, !self.isAtEnd {
            var query = [("list-type", "2"), ("prefix", "spaces/"), ("max-keys", "\(S3Limits.pageMax)")]
            if let continuation { query.append(("continuation-token", continuation)) }
            let request = S3Client.Request(method: .GET, query: query)
            let answer = try await self.client.send(request)
            guard answer.status == .ok else { throw .failed(detail: S3Client.describe(answer, to: request)) }
            let text = answer.text[...]
            entries = S3Answer.elements("Contents", in: text).compactMap(Self.entry)
            let next = S3Answer.text("NextContinuationToken", in: text)
            self.isAtEnd = S3Answer.text("IsTruncated", in: text) != "true" || next == nil
            guard self.isAtEnd || next != self.continuation else { throw Self.standsStill }
            self.continuation = next
        }
        return entries
    }

    /// The service would answer the same for ever.
    static let standsStill = BlobError.failed(detail: "the service lists the same page again and again")

    /// `nil` for what is not an object of ours.
    private static func entry(_ contents: Substring) -> BlobEntry? {
        guard let path = S3Answer.text("Key", in: contents), let key = FileKey(path: path),
            let length = S3Answer.text("Size", in: contents).flatMap({ Int64($0) }),
            let modified = S3Answer.text("LastModified", in: contents).flatMap(S3Answer.date)
        else { return nil }
        return BlobEntry(key: key, length: length, modified: modified)
    }
}
