import AsyncHTTPClient
import NIOCore
import NIOHTTP1

/// `less-sync healthcheck`: asks a running server, for container health checks that have no HTTP client
/// (docs/contract/operations.md §1).
package enum HealthCheckCommand {
    package static let defaultURL = "http://127.0.0.1:5379/health"

    /// - Returns: 0 for status 200, 1 for everything else.
    package static func run(url: String) async -> Int32 {
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

    private static var configuration: HTTPClient.Configuration {
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
        configuration.httpVersion = .http1Only
        configuration.connectionPool.retryConnectionEstablishment = false
        return configuration
    }
}
