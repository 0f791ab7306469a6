import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import SyncTransport

/// `less-sync healthcheck`: asks a running server, for container health checks that have no HTTP client
/// (docs/contract/operations.md §1).
package enum HealthCheckCommand {
    /// - Parameters:
    ///   - url: The health route; a URL without a path means `/health` of that server. `nil`: the server on this machine that
    ///     listens on `LISTEN_ADDR`.
    ///   - environment: Where `LISTEN_ADDR` is looked for.
    /// - Returns: 0 for status 200, 1 for everything else.
    package static func run(
        url: String?, environment: [String: String] = ProcessInfo.processInfo.environment
    ) async -> Int32 {
        let url = url.map(Self.healthRoute) ?? Self.localURL(environment)
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: Self.configuration)
        var failure: String?
        do {
            let response = try await client.execute(HTTPClientRequest(url: url), timeout: .seconds(10))
            if response.status != .ok { failure = "\(url) answered \(response.status.code)" }
        } catch {
            failure = Self.isInvalidURL(error) ? "invalid URL \(url)" : "cannot reach \(url): \(Self.reason(of: error))"
        }
        try? await client.shutdown()
        guard let failure else { return ExitStatus.success }
        Console.error(failure)
        return ExitStatus.failure
    }

    /// An address for all interfaces is one of this machine too.
    static func localURL(_ environment: [String: String]) -> String {
        var address = environment["LISTEN_ADDR"].flatMap { ListenAddress($0) } ?? ServerConfiguration().listenAddress
        if address.isWildcard { address.host = address.host.contains(":") ? "::1" : "127.0.0.1" }
        return "http://\(address)/health"
    }

    static func healthRoute(of url: String) -> String {
        guard let scheme = url.firstRange(of: "://") else { return url }
        let rest = url[scheme.upperBound...]
        guard let slash = rest.firstIndex(of: "/") else { return url + "/health" }
        return rest[slash...] == "/" ? url + "health" : url
    }

    static func isInvalidURL(_ error: any Error) -> Bool {
        switch error as? HTTPClientError {
        case .invalidURL, .emptyHost, .missingSocketPath, .emptyScheme: true
        case let error?: error.description.contains("unsupportedScheme")
        case nil: false
        }
    }

    /// A few words of our own: what libraries say is for those who write programs.
    static func reason(of error: any Error) -> String {
        if let failure = ConnectFailure(error) { return failure.reason }
        return switch error as? HTTPClientError {
        case .connectTimeout, .readTimeout, .writeTimeout, .deadlineExceeded, .getConnectionFromPoolTimeout,
            .tlsHandshakeTimeout, .httpProxyHandshakeTimeout, .socksHandshakeTimeout:
            "timed out"
        case .remoteConnectionClosed: "connection closed without an answer"
        default: "the answer is not one of HTTP"
        }
    }

    private static var configuration: HTTPClient.Configuration {
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
        configuration.httpVersion = .http1Only
        configuration.connectionPool.retryConnectionEstablishment = false
        return configuration
    }
}
