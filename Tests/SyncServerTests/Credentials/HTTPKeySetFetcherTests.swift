import NIOHTTP1
import SyncAuth
import Testing

@testable import SyncServer

@Suite("Fetching key sets over HTTP", .timeLimit(.minutes(5)))
struct HTTPKeySetFetcherTests {
    typealias FetchError = HTTPKeySetFetcher.FetchError

    /// Fetches `path` from a server with `answers`.
    private func fetch(
        _ path: String, from answers: [String: TestHTTPServer.Answer], timeout: Duration = .seconds(10)
    ) async throws -> [UInt8] {
        var result: Result<[UInt8], any Error>?
        try await TestHTTPServer.run(answers) { base, _ in
            result = await self.result(of: base + path, timeout: timeout)
        }
        return try #require(result).get()
    }

    private func result(of url: String, timeout: Duration = .seconds(10)) async -> Result<[UInt8], any Error> {
        let fetcher = HTTPKeySetFetcher(timeout: timeout)
        let result: Result<[UInt8], any Error>
        do { result = .success(try await fetcher.fetch(url)) } catch { result = .failure(error) }
        do { try await fetcher.shutDown() } catch { return .failure(error) }
        return result
    }

    private func redirect(to location: String?, status: HTTPResponseStatus = .found) -> TestHTTPServer.Answer {
        TestHTTPServer.Answer(status: status, headers: location.map { ["Location": $0] } ?? [:])
    }

    @Test("The bytes of a 200 arrive, whatever their type", arguments: [false, true])
    func success(isChunked: Bool) async throws {
        let answer = TestHTTPServer.Answer(
            headers: ["Content-Type": "text/html"], body: Array("{}".utf8), isChunked: isChunked)
        #expect(try await self.fetch("/keys?v=1", from: ["/keys?v=1": answer]) == Array("{}".utf8))
    }

    @Test("JWT-15: only status 200 counts", arguments: [201, 204, 304, 400, 404, 500, 503])
    func status(code: Int) async throws {
        let answer = TestHTTPServer.Answer(
            status: .init(statusCode: code), body: code == 204 || code == 304 ? [] : [123, 125])
        await #expect(throws: FetchError.status(code)) { try await self.fetch("/", from: ["/": answer]) }
    }

    @Test("JWT-23: 1,048,576 bytes are read, one more is a failed fetch", arguments: [false, true])
    func size(isChunked: Bool) async throws {
        var answer = TestHTTPServer.Answer(body: Array(repeating: 32, count: 1_048_576), isChunked: isChunked)
        #expect(try await self.fetch("/", from: ["/": answer]).count == 1_048_576)
        answer.body.append(32)
        await #expect(throws: FetchError.tooLarge) { try await self.fetch("/", from: ["/": answer]) }
    }

    @Test("JWT-23: a key set one byte too long makes its tokens invalid, one of the greatest length does not")
    func oversizedKeySet() async throws {
        let signer = TokenSigner()
        var document = signer.keySetDocument
        document += Array(repeating: 32, count: 1_048_576 - document.count)
        let answers = [
            "/good/.well-known/jwks.json": TestHTTPServer.Answer(body: document),
            "/bad/.well-known/jwks.json": TestHTTPServer.Answer(body: document + [32]),
        ]
        let fetcher = HTTPKeySetFetcher()
        try await TestHTTPServer.run(answers) { base, _ in
            let issuers = ["/good", "/bad"].map { TrustedIssuer(base + $0) }
            let validator = JWTValidator(issuers: issuers, audiences: [], fetcher: fetcher)
            func token(_ issuer: TrustedIssuer) throws -> String {
                try signer.sign(TokenClaims(issuer: issuer.issuer, subject: "user", clientID: "client"))
            }
            let principal = try await validator.validate(token(issuers[0]))
            #expect(principal.userID == "user")
            await #expect(throws: TokenError.invalid) { try await validator.validate(token(issuers[1])) }
        }
        try await fetcher.shutDown()
    }

    @Test("Three redirects are followed, relative ones too, a fourth is not", arguments: [301, 302, 303, 307, 308])
    func redirects(code: Int) async throws {
        let status = HTTPResponseStatus(statusCode: code)
        let answers = [
            "/1": self.redirect(to: "/a/2", status: status), "/a/2": self.redirect(to: "3", status: status),
            "/a/3": self.redirect(to: "../4", status: status), "/4": TestHTTPServer.Answer(body: [1]),
            "/0": self.redirect(to: "/1", status: status),
        ]
        #expect(try await self.fetch("/1", from: answers) == [1])
        await #expect(throws: FetchError.tooManyRedirects) { try await self.fetch("/0", from: answers) }
    }

    @Test("A redirect to another server is followed")
    func foreignRedirect() async throws {
        try await TestHTTPServer.run(["/keys": TestHTTPServer.Answer(body: [2])]) { other, _ in
            let document = try await self.fetch("/", from: ["/": self.redirect(to: other + "/keys")])
            #expect(document == [2])
        }
    }

    @Test("A loop of redirects ends after three")
    func redirectLoop() async throws {
        try await TestHTTPServer.run(["/": self.redirect(to: "/")]) { base, server in
            await #expect(throws: FetchError.tooManyRedirects) { try await self.result(of: base + "/").get() }
            #expect(server.paths.count == 4)
        }
    }

    @Test("A redirect to nowhere is a failed fetch", arguments: [nil, "file:///etc/passwd", "ftp://a/", "http://"])
    func wrongRedirect(location: String?) async throws {
        await #expect(throws: FetchError.refusedRedirect) {
            try await self.fetch("/", from: ["/": self.redirect(to: location)])
        }
    }

    @Test(
        "A redirect never leaves https",
        arguments: [
            ("https://a/k", "http://a/k", nil), ("https://a/k", "HTTP://a/k", nil),
            ("https://a/k", "https://b/", "https://b/"),
            ("https://a/k", "/x", "https://a/x"), ("https://a/k", "//b/x", "https://b/x"),
            ("http://a/k", "https://a/k", "https://a/k"), ("http://a/k", "http://b/k", "http://b/k"),
            ("HTTPS://a/k", "http://a/k", nil),
        ] as [(String, String, String?)])
    func downgrade(url: String, location: String, expected: String?) {
        #expect(HTTPKeySetFetcher.redirectTarget(from: url, location: location) == expected)
    }

    @Test("A server that is silent, or never ends its answer, is given up after the time limit")
    func slowServer() async throws {
        let answers = [
            "/silent": TestHTTPServer.Answer(isSilent: true),
            "/endless": TestHTTPServer.Answer(body: Array("{".utf8), isEndless: true),
        ]
        for path in answers.keys {
            await #expect(throws: FetchError.timedOut) {
                try await self.fetch(path, from: answers, timeout: .milliseconds(200))
            }
        }
    }

    @Test("Nobody listening, and a URL that is none, are failed fetches at once")
    func unreachable() async throws {
        var base = ""
        try await TestHTTPServer.run([:]) { url, _ in base = url }
        for url in [base, "nonsense"] {
            let error = await #expect(throws: (any Error).self) { try await self.result(of: url).get() }
            #expect(error as? FetchError != .timedOut)
        }
    }

    @Test("As a service it runs until it is told to end, and then fetches nothing more")
    func service() async throws {
        let fetcher = HTTPKeySetFetcher()
        try await TestHTTPServer.run(["/": TestHTTPServer.Answer(body: [3])]) { base, _ in
            let service = Task { try await fetcher.run() }
            let document = try await fetcher.fetch(base + "/")
            #expect(document == [3])
            service.cancel()
            try await service.value
            await #expect(throws: (any Error).self) { try await fetcher.fetch(base + "/") }
        }
    }
}
