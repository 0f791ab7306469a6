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

    /// Who is to be named by a token.
    package struct Request: Hashable, Sendable, Encodable {
        package var user: String
        package var client: String
        /// Devices with different mailboxes do not share a limit of connections.
        package var mailbox: String?
        /// `did:key` of the device, which delegations are made out to.
        package var did: String?

        enum CodingKeys: String, CodingKey {
            case user, client, did
            case mailbox = "mailbox_id"
        }

        package init(user: String, client: String, mailbox: String? = nil, did: String? = nil) {
            self.user = user
            self.client = client
            self.mailbox = mailbox
            self.did = did
        }
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

    /// Tokens for the same personal space.
    package func fetch(_ count: Int, user: String, client: String) async throws -> [Answer] {
        try await self.fetch(Array(repeating: Request(user: user, client: client), count: count), atOnce: 1)
    }

    /// A token for each of `requests`, in their order.
    ///
    /// - Parameter atOnce: calls in progress at most.
    package func fetch(_ requests: [Request], atOnce: Int) async throws -> [Answer] {
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow, decompression: .disabled)
        configuration.httpVersion = .http1Only
        // A refused connection is the answer.
        configuration.connectionPool.retryConnectionEstablishment = false
        let http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        do {
            let answers = try await self.fetch(requests, atOnce: max(1, atOnce), over: http)
            try await http.shutdown()
            return answers
        } catch {
            try? await http.shutdown()
            throw error
        }
    }

    private func fetch(_ requests: [Request], atOnce: Int, over http: HTTPClient) async throws -> [Answer] {
        try await withThrowingTaskGroup(of: (Int, Answer).self) { group in
            var answers = [Answer?](repeating: nil, count: requests.count)
            for (index, request) in requests.enumerated() {
                if index >= atOnce, let (done, answer) = try await group.next() { answers[done] = answer }
                group.addTask { (index, try await self.fetch(request, over: http)) }
            }
            while let (done, answer) = try await group.next() { answers[done] = answer }
            return answers.compactMap(\.self)
        }
    }

    private func fetch(_ token: Request, over http: HTTPClient) async throws -> Answer {
        var request = HTTPClientRequest(url: self.endpoint.tokens)
        request.method = .POST
        request.headers.add(name: "Content-Type", value: "application/json")
        request.body = .bytes(try JSONEncoder().encode(token))
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
