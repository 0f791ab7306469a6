import AsyncHTTPClient
import FoundationEssentials
public import NIOCore
import NIOHTTP1
public import SyncProtocol

/// Files of one space over HTTP (docs/files.md). What is stored is what is given: encrypt first.
public struct FileTransfer: Sendable {
    /// How a file is recorded.
    public struct Upload: Hashable, Sendable {
        public var file: FileID
        /// A record of the space; when it is deleted, so is the file.
        public var record: RecordID
        /// 44 bytes.
        public var wrappedDEK: ByteBuffer
        /// Bytes to be stored.
        public var length: Int64

        public init(file: FileID, record: RecordID, wrappedDEK: ByteBuffer, length: Int64) {
            self.file = file
            self.record = record
            self.wrappedDEK = wrappedDEK
            self.length = length
        }
    }

    /// What the server says of a file.
    public struct Metadata: Hashable, Sendable {
        /// Bytes stored.
        public var size: Int64
        /// Changes with a rewrap, though the bytes do not.
        public var wrappedDEK: ByteBuffer
    }

    /// Bytes that are asked for, one stretch after another, at any offset, and again after a failure.
    public typealias Source = @Sendable (_ offset: Int64, _ count: Int) async throws -> ByteBuffer

    /// Bytes of one request of a resumable upload, and so of memory.
    static let appendBytesMax: Int64 = 4 * 1_024 * 1_024
    /// Bytes of one piece of a request's body.
    static let pieceBytes: Int64 = 256 * 1_024
    /// Attempts in a row that may fail before a resumable upload is given up.
    static let attemptsMax = 6

    /// For all transfers of the process, and as long as it. A connection that is refused is an answer: what is worth another
    /// attempt is decided here, with the offset that the server has then.
    private static let http: HTTPClient = {
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow, decompression: .disabled)
        configuration.httpVersion = .http1Only
        configuration.connectionPool.retryConnectionEstablishment = false
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }()

    private let server: String
    private let base: String
    private let token: String
    private let ucan: String
    private let timeout: TimeAmount
    let clock: any Clock<Duration>

    /// - Parameters:
    ///   - server: `http` or `https` address of the server, without a path.
    ///   - token: With the scope `files`.
    ///   - ucan: Empty for the caller's own personal space.
    ///   - timeout: For one request with its body.
    public init(
        server: String, token: String, space: SpaceID, ucan: String = "", timeout: Duration = .seconds(600),
        clock: any Clock<Duration> = ContinuousClock()
    ) {
        self.server = server
        self.base = "\(server)/api/v1/spaces/\(space.wireText)/files/"
        self.token = token
        self.ucan = ucan
        self.timeout = TimeAmount(timeout)
        self.clock = clock
    }

    // MARK: - Requests of one piece

    /// Stores a file in one request.
    ///
    /// - Returns: Whether it was stored now; `false` when it existed already, which changes nothing.
    /// - Throws: `FileTransferError`; what `source` throws.
    @discardableResult
    public func upload(_ upload: Upload, from source: @escaping Source) async throws -> Bool {
        var request = self.request(.PUT, self.base + upload.file.wireText)
        self.describe(upload, &request)
        request.body = .stream(
            SourceBytes(source: source, range: 0..<upload.length), length: .known(upload.length))
        let answer = try await self.send(request)
        switch answer.status {
        case 201: return true
        case 204: return false
        default: throw answer.refusal
        }
    }

    /// - Throws: `FileTransferError`; `.refused` with 404 when there is no such file.
    public func metadata(of file: FileID) async throws -> Metadata {
        let answer = try await self.send(self.request(.HEAD, self.base + file.wireText))
        guard answer.status == 200 else { throw answer.refusal }
        guard let size = answer.integer("content-length") else { throw FileTransferError.missing("Content-Length") }
        return Metadata(size: size, wrappedDEK: try answer.wrappedDEK())
    }

    /// Reads a file, or a stretch of it.
    ///
    /// - Parameters:
    ///   - range: Not empty; `nil`: everything.
    ///   - body: Gets the metadata first, with the size of the whole file, then the bytes in order.
    /// - Throws: `FileTransferError`; what `body` throws.
    public func download(
        _ file: FileID, range: Range<Int64>? = nil, _ body: (Metadata, ByteBuffer) async throws -> Void
    ) async throws {
        var request = self.request(.GET, self.base + file.wireText)
        if let range {
            request.headers.add(name: "Range", value: "bytes=\(range.lowerBound)-\(range.upperBound - 1)")
        }
        let response = try await self.execute(request)
        let answer = Answer(response)
        guard answer.status == (range == nil ? 200 : 206) else { throw try await answer.read(response).refusal }
        guard let count = answer.integer("content-length") else { throw FileTransferError.missing("Content-Length") }
        let size = range == nil ? count : answer.headers.first(name: "content-range").flatMap(Self.size) ?? -1
        guard size >= 0, range.map({ Int64($0.count) }) ?? count == count else {
            throw FileTransferError.protocolViolation("another range than the one that was asked for")
        }
        let metadata = Metadata(size: size, wrappedDEK: try answer.wrappedDEK())
        try await body(metadata, ByteBuffer())
        var received: Int64 = 0
        var iterator = response.body.makeAsyncIterator()
        while received < count {
            let bytes: ByteBuffer?
            do { bytes = try await iterator.next() } catch { throw Self.failure(error) }
            guard let bytes else { throw FileTransferError.unreachable(detail: "the file ended early") }
            received += Int64(bytes.readableBytes)
            try await body(metadata, bytes)
        }
    }

    /// `bytes 0-9/100` → 100.
    private static func size(of contentRange: String) -> Int64? {
        contentRange.split(separator: "/").last.flatMap { Int64($0) }
    }

    // MARK: - HTTP

    func request(_ method: HTTPMethod, _ url: String) -> HTTPClientRequest {
        var request = HTTPClientRequest(url: url)
        request.method = method
        request.headers.add(name: "Authorization", value: "Bearer \(self.token)")
        if !self.ucan.isEmpty { request.headers.add(name: "X-UCAN", value: self.ucan) }
        return request
    }

    func describe(_ upload: Upload, _ request: inout HTTPClientRequest) {
        request.headers.add(name: "X-Record-ID", value: upload.record.wireText)
        let dek = Data(upload.wrappedDEK.readableBytesView).base64EncodedString()
        request.headers.add(name: "X-Wrapped-DEK", value: dek)
    }

    func uploadsURL(of file: FileID) -> String { self.base + file.wireText + "/uploads" }

    /// The address of what a `Location` on this server names.
    func url(of location: String) throws -> String {
        guard location.hasPrefix("/api/v1/") else {
            throw FileTransferError.protocolViolation("the upload is somewhere else: \(location)")
        }
        return self.server + location
    }

    func send(_ request: HTTPClientRequest) async throws -> Answer {
        let response = try await self.execute(request)
        return try await Answer(response).read(response)
    }

    private func execute(_ request: HTTPClientRequest) async throws -> HTTPClientResponse {
        do {
            return try await Self.http.execute(request, timeout: self.timeout)
        } catch {
            throw Self.failure(error)
        }
    }

    /// What a source of bytes threw stays what it is.
    static func failure(_ error: any Error) -> any Error {
        switch error {
        case let error as SourceFailure: error.underlying
        case is FileTransferError, is CancellationError: error
        default: FileTransferError.unreachable(detail: "\(error)")
        }
    }

    /// A response with what is in its body, if that is short.
    struct Answer {
        private static let bodyBytesMax = 65_536

        let status: Int
        let headers: HTTPHeaders
        var body = ByteBuffer()

        init(_ response: HTTPClientResponse) {
            self.status = Int(response.status.code)
            self.headers = response.headers
        }

        func read(_ response: HTTPClientResponse) async throws -> Answer {
            var answer = self
            do {
                answer.body = try await response.body.collect(upTo: Self.bodyBytesMax)
            } catch {
                throw FileTransfer.failure(error)
            }
            return answer
        }

        func integer(_ name: String) -> Int64? { self.headers.first(name: name).flatMap { Int64($0) } }

        func wrappedDEK() throws -> ByteBuffer {
            guard let text = self.headers.first(name: "x-wrapped-dek"), let bytes = Data(base64Encoded: text) else {
                throw FileTransferError.missing("X-Wrapped-DEK")
            }
            return ByteBuffer(bytes: bytes)
        }

        var refusal: FileTransferError {
            struct Body: Decodable { let error: String }
            let body = try? JSONDecoder().decode(Body.self, from: Data(self.body.readableBytesView))
            return .refused(status: self.status, message: body?.error ?? "")
        }
    }
}

extension FileTransferError {
    static func missing(_ header: String) -> FileTransferError { .protocolViolation("no \(header)") }
}

/// What a source threw, on its way through the HTTP client.
struct SourceFailure: Error {
    let underlying: any Error
}

/// A stretch of a source, a piece at a time.
struct SourceBytes: AsyncSequence, Sendable {
    typealias Element = ByteBuffer

    let source: FileTransfer.Source
    let range: Range<Int64>

    struct AsyncIterator: AsyncIteratorProtocol {
        let source: FileTransfer.Source
        var range: Range<Int64>

        mutating func next() async throws -> ByteBuffer? {
            guard !self.range.isEmpty else { return nil }
            let count = Int(Swift.min(FileTransfer.pieceBytes, Int64(self.range.count)))
            let bytes: ByteBuffer
            do { bytes = try await self.source(self.range.lowerBound, count) } catch {
                throw SourceFailure(underlying: error)
            }
            guard bytes.readableBytes == count else {
                throw FileTransferError.protocolViolation("the source gave \(bytes.readableBytes) bytes for \(count)")
            }
            self.range = self.range.lowerBound + Int64(count)..<self.range.upperBound
            return bytes
        }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(source: self.source, range: self.range) }
}
