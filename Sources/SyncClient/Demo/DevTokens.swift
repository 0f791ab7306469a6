import AsyncHTTPClient
import FoundationEssentials
package import NIOCore
import NIOHTTP1
package import SyncProtocol

/// Tokens of the development issuer that `less-sync dev` has (docs/contract/operations.md §1.1).
package struct DevTokens: Sendable {
    package struct Answer: Hashable, Sendable {
        package let token: String
        package let space: SpaceID
    }

    private struct RequestBody: Encodable {
        let user: String
        let client: String
    }

    private struct TokenBody: Decodable {
        let token: String
        let personalSpaceID: String

        enum CodingKeys: String, CodingKey {
            case token
            case personalSpaceID = "personal_space_id"
        }
    }

    private struct ErrorBody: Decodable {
        let error: String
    }

    private static let bodyBytesMax = 65_536

    private let endpoint: DemoEndpoint
    private let timeout: TimeAmount

    package init(_ endpoint: DemoEndpoint, timeout: TimeAmount = .seconds(10)) {
        self.endpoint = endpoint
        self.timeout = timeout
    }

    /// One token per call, all for the same personal space.
    package func fetch(_ count: Int, user: String, client: String) async throws -> [Answer] {
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow, decompression: .disabled)
        configuration.httpVersion = .http1Only
        // A refused connection is the answer.
        configuration.connectionPool.retryConnectionEstablishment = false
        let http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        do {
            var answers: [Answer] = []
            for _ in 0..<count { answers.append(try await self.fetch(over: http, user: user, client: client)) }
            try await http.shutdown()
            return answers
        } catch {
            try? await http.shutdown()
            throw error
        }
    }

    private func fetch(over http: HTTPClient, user: String, client: String) async throws -> Answer {
        var request = HTTPClientRequest(url: self.endpoint.tokens)
        request.method = .POST
        request.headers.add(name: "Content-Type", value: "application/json")
        request.body = .bytes(try JSONEncoder().encode(RequestBody(user: user, client: client)))
        let response: HTTPClientResponse
        let body: [UInt8]
        do {
            response = try await http.execute(request, timeout: self.timeout)
            body = Array(try await response.body.collect(upTo: Self.bodyBytesMax).readableBytesView)
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            throw DemoError.noServer(url: self.endpoint.base, detail: String(describing: error))
        }
        switch response.status {
        case .ok: break
        case .badRequest:
            let detail = try? JSONDecoder().decode(ErrorBody.self, from: Data(body)).error
            throw DemoError.tokenRefused(detail ?? "bad request")
        default:
            throw DemoError.notDevServer(url: self.endpoint.base, detail: "/dev/token: \(response.status.code)")
        }
        guard let token = try? JSONDecoder().decode(TokenBody.self, from: Data(body)),
            let space = SpaceID(wireText: token.personalSpaceID)
        else { throw DemoError.notDevServer(url: self.endpoint.base, detail: "/dev/token: unknown answer") }
        return Answer(token: token.token, space: space)
    }
}

/// The addresses of a server.
package struct DemoEndpoint: Hashable, Sendable {
    /// Without a slash at the end.
    package let base: String

    /// - Parameter url: `http` or `https`, without a query.
    package init(_ url: String) throws(DemoError) {
        guard let parsed = URL(string: url), let scheme = parsed.scheme?.lowercased(),
            ["http", "https"].contains(scheme),
            parsed.host?.isEmpty == false, parsed.query == nil, parsed.fragment == nil
        else { throw .invalidURL(url) }
        self.base = String(url.reversed().drop { $0 == "/" }.reversed())
    }

    var tokens: String { self.base + "/dev/token" }
    var sockets: String { self.base + "/api/v1/ws" }
}
