import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1

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
            failure = "cannot reach \(url): \(error)"
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

    private static var configuration: HTTPClient.Configuration {
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
        configuration.httpVersion = .http1Only
        configuration.connectionPool.retryConnectionEstablishment = false
        return configuration
    }
}
