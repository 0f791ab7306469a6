import AsyncHTTPClient
import FoundationEssentials
import NIOCore
import NIOHTTP1
import ServiceLifecycle
import SyncAuth

/// Fetches key set documents over HTTP, bounded in time, size and redirects (docs/contract/auth.md §2.4).
///
/// Owns an HTTP client, which must be shut down: run it as a service before everything that verifies tokens, or call
/// `shutDown()`.
package struct HTTPKeySetFetcher: KeySetFetcher {
    package static let documentBytesMax = 1_048_576
    package static let redirectsMax = 3

    package enum FetchError: Error, Hashable, Sendable {
        case timedOut
        /// Only 200 counts.
        case status(Int)
        case tooLarge
        case tooManyRedirects
        /// From https to anything else, or to something that is no http(s) URL.
        case refusedRedirect
    }

    private let client: HTTPClient
    private let timeout: Duration

    /// - Parameter timeout: of one fetch from the name look-up to the last byte, redirects included.
    package init(timeout: Duration = .seconds(10)) {
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow, decompression: .disabled)
        configuration.httpVersion = .http1Only
        // A refused connection is an answer: callers wait, and the key set cache has its own delays.
        configuration.connectionPool.retryConnectionEstablishment = false
        self.client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        self.timeout = timeout
    }

    package func shutDown() async throws { try await self.client.shutdown() }

    package func fetch(_ url: String) async throws -> [UInt8] {
        try await withThrowingTaskGroup(of: [UInt8]?.self) { group in
            group.addTask { try await self.fetchFollowingRedirects(url) }
            group.addTask {
                try await Task.sleep(for: self.timeout)
                return nil
            }
            defer { group.cancelAll() }
            guard let document = try await group.next() ?? nil else { throw FetchError.timedOut }
            return document
        }
    }

    private func fetchFollowingRedirects(_ url: String) async throws -> [UInt8] {
        var url = url
        for _ in 0...Self.redirectsMax {
            var request = HTTPClientRequest(url: url)
            request.headers.add(name: "Accept", value: "application/json")
            // The time limit of the whole is kept above; this one only has to be later.
            let response = try await self.client.execute(request, timeout: .hours(1))
            guard Self.redirectStatuses.contains(response.status.code) else {
                return try await Self.document(of: response)
            }
            guard let location = response.headers.first(name: "Location"),
                let target = Self.redirectTarget(from: url, location: location)
            else { throw FetchError.refusedRedirect }
            url = target
        }
        throw FetchError.tooManyRedirects
    }

    private static let redirectStatuses: Set<UInt> = [301, 302, 303, 307, 308]

    private static func document(of response: HTTPClientResponse) async throws -> [UInt8] {
        guard response.status == .ok else { throw FetchError.status(Int(response.status.code)) }
        do {
            let body = try await response.body.collect(upTo: Self.documentBytesMax)
            return Array(body.readableBytesView)
        } catch is NIOTooManyBytesError {
            throw FetchError.tooLarge
        }
    }

    /// The absolute form of `location`, or `nil` when it must not be followed.
    static func redirectTarget(from url: String, location: String) -> String? {
        guard let base = URL(string: url), let target = URL(string: location, relativeTo: base)?.absoluteURL,
            let scheme = target.scheme?.lowercased(), target.host?.isEmpty == false
        else { return nil }
        let isAllowed = scheme == "https" || scheme == "http" && base.scheme?.lowercased() == "http"
        return isAllowed ? target.absoluteString : nil
    }
}

extension HTTPKeySetFetcher: Service {
    /// Shuts the client down when the services that use it, which stop first, have ended.
    package func run() async throws {
        try? await gracefulShutdown()
        try await self.shutDown()
    }
}
