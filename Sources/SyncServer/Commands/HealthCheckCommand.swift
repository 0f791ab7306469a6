import AsyncHTTPClient
import NIOCore
import NIOHTTP1

/// `less-sync healthcheck`: asks a running server, for container health checks that have no HTTP client
/// (docs/contract/operations.md §1).
package enum HealthCheckCommand {
    package static let defaultURL = "http://127.0.0.1:5379/health"

    /// - Parameter url: The health route; a URL without a path means `/health` of that server.
    /// - Returns: 0 for status 200, 1 for everything else.
    package static func run(url: String) async -> Int32 {
        let url = Self.healthRoute(of: url)
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
