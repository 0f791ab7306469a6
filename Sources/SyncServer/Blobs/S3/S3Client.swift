import AsyncHTTPClient
import FoundationEssentials
import NIOCore
import NIOHTTP1
import SyncStorage

/// One bucket of an S3-compatible service, addressed by path. Signs requests, and repeats those that may succeed the next time.
///
/// Owns an HTTP client, which must be shut down with `close()`. Makes no connection before the first request.
struct S3Client: Sendable {
    struct Request: Sendable {
        var method: HTTPMethod
        /// `nil`: the bucket itself.
        var key: String?
        var query: [(name: String, value: String)] = []
        /// Beyond those that every request has. Names in lower case.
        var headers: [(name: String, value: String)] = []
        var body: ByteBuffer?
        /// Takes the place of `body`.
        var part: S3Part?
        /// SHA-256 of the body in hexadecimal.
        var payloadHash = SignatureV4.emptyPayloadHash
        var timeout = S3Limits.answerTimeout
        var attemptsMax = S3Limits.attemptsMax
    }

    /// An answer that was read whole.
    struct Answer: Sendable {
        let status: HTTPResponseStatus
        let headers: HTTPHeaders
        let text: String

        /// What S3 calls the error; nothing for an answer without a body, as to HEAD.
        var errorCode: String? {
            S3Answer.elements("Error", in: self.text[...]).first.flatMap { S3Answer.text("Code", in: $0) }
        }
    }

    private let client: HTTPClient
    private let signature: SignatureV4
    private let baseURL: String
    private let host: String
    private let bucket: String
    private let clock: any Clock<Duration>
    private let now: @Sendable () -> Date

    /// - Parameter variables: checked.
    init(
        _ variables: S3Variables, clock: any Clock<Duration> = ContinuousClock(),
        now: @escaping @Sendable () -> Date = { Date() }
    ) {
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow, decompression: .disabled)
        configuration.httpVersion = .http1Only
        configuration.timeout = HTTPClient.Configuration.Timeout(
            connect: S3Limits.connectTimeout, read: S3Limits.readTimeout)
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = S3Limits.connectionsMax
        // Attempts are counted here.
        configuration.connectionPool.retryConnectionEstablishment = false
        self.client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        self.signature = SignatureV4(
            accessKey: variables.accessKey.reveal(), secretKey: variables.secretKey, region: variables.region)
        self.baseURL = variables.endpointURL
        self.host = Self.hostHeader(of: variables.endpointURL)
        self.bucket = variables.bucket
        self.clock = clock
        self.now = now
    }

    func close() async { try? await self.client.shutdown() }

    /// Sends a request, again and again if need be, and reads the answer whole.
    ///
    /// - Returns: The answer, whatever its status; not one that still asked to try again after the last attempt.
    /// - Throws: `.unavailable`, `.failed`.
    func send(_ request: Request) async throws(BlobError) -> Answer {
        try await self.attempt(request) { response throws(BlobError) in
            try await Self.readWhole(response)
        }
    }

    /// Sends a request whose answer is read piece by piece if it is one of `statuses`.
    ///
    /// - Throws: as `send`; for another status what `otherwise` makes of it.
    func open(
        _ request: Request, statuses: [HTTPResponseStatus], otherwise: @Sendable (Answer) -> BlobError
    ) async throws(BlobError) -> HTTPClientResponse {
        let opened = try await self.attempt(request) { response throws(BlobError) -> Opened in
            if statuses.contains(response.status) { return .response(response) }
            return .answer(try await Self.readWhole(response))
        }
        switch opened {
        case .response(let response): return response
        case .answer(let answer): throw otherwise(answer)
        }
    }

    private enum Opened: Sendable {
        case response(HTTPClientResponse)
        case answer(Answer)
    }

    // MARK: Attempts

    private func attempt<Result: Sendable>(
        _ request: Request, _ read: (HTTPClientResponse) async throws(BlobError) -> Result
    ) async throws(BlobError) -> Result {
        var delay = S3Limits.backoff
        var attempts = 0
        while true {
            attempts += 1
            let problem: BlobError
            do throws(BlobError) {
                let response = try await self.execute(request)
                guard Self.asksToTryAgain(response.status) else { return try await read(response) }
                let answer = try await Self.readWhole(response)
                problem = .unavailable(detail: Self.describe(answer, to: request))
            } catch .unavailable(let detail) {
                problem = .unavailable(detail: detail)
            }
            guard attempts < request.attemptsMax, !Task.isCancelled else { throw problem }
            do { try await self.clock.sleep(for: delay * Double.random(in: 0.5...1)) } catch { throw problem }
            delay *= 2
        }
    }

    /// Also 408, which S3 sends when it waited too long for the body, and the throttling of other services.
    private static func asksToTryAgain(_ status: HTTPResponseStatus) -> Bool {
        [408, 429, 500, 502, 503, 504].contains(status.code)
    }

    private func execute(_ request: Request) async throws(BlobError) -> HTTPClientResponse {
        let path = "/" + self.bucket + (request.key.map { "/" + SignatureV4.encoded($0, isPath: true) } ?? "")
        let query = SignatureV4.canonicalQuery(request.query)
        let time = SignatureV4.timeText(self.now())
        let headers =
            request.headers + [
                ("host", self.host), ("x-amz-content-sha256", request.payloadHash), ("x-amz-date", time),
            ]
        var outgoing = HTTPClientRequest(url: self.baseURL + path + (query.isEmpty ? "" : "?" + query))
        outgoing.method = request.method
        for header in headers { outgoing.headers.add(name: header.name, value: header.value) }
        outgoing.headers.add(
            name: "authorization",
            value: self.signature.authorization(
                method: request.method.rawValue, path: path, query: request.query, headers: headers,
                payloadHash: request.payloadHash, time: time))
        if let part = request.part {
            outgoing.body = .stream(part, length: .known(Int64(part.length)))
        } else if let body = request.body {
            outgoing.body = .bytes(body)
        }
        do {
            return try await self.client.execute(outgoing, timeout: request.timeout)
        } catch {
            throw .unavailable(detail: "\(request.method.rawValue): \(error)")
        }
    }

    private static func readWhole(_ response: HTTPClientResponse) async throws(BlobError) -> Answer {
        do {
            let body = try await response.body.collect(upTo: S3Limits.answerBytesMax)
            return Answer(status: response.status, headers: response.headers, text: String(buffer: body))
        } catch is NIOTooManyBytesError {
            throw .failed(detail: "answer too long")
        } catch {
            throw .unavailable(detail: "\(error)")
        }
    }

    /// For the log. The message of S3 is left out: it may quote what was sent.
    static func describe(_ answer: Answer, to request: Request) -> String {
        "\(request.method.rawValue) was answered with \(answer.status.code) \(answer.errorCode ?? answer.status.reasonPhrase)"
    }

    /// The authority of a URL without the default port of its scheme, as HTTP clients send it.
    static func hostHeader(of url: String) -> String {
        let isTLS = url.lowercased().hasPrefix("https://")
        let authority = String(url.dropFirst(isTLS ? 8 : 7))
        let port = isTLS ? ":443" : ":80"
        return authority.hasSuffix(port) ? String(authority.dropLast(port.count)) : authority
    }
}
