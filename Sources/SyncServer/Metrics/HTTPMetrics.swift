import HTTPTypes
import Metrics
import SyncAuth

/// Counts HTTP requests. Labels come from closed sets: route templates, known methods, statuses.
package struct HTTPMetrics: Sendable {
    private static let methods: Set<HTTPRequest.Method> = [.get, .head, .put, .post, .patch, .delete, .options]

    private let factory: any MetricsFactory

    init(factory: any MetricsFactory) { self.factory = factory }

    /// A request had no token that could be looked at.
    func hadNoToken(_ error: TokenError) { AuthFailures(factory: self.factory).count(error) }

    /// - Parameter route: The template of a known route; `nil` counts under `unknown`.
    func finished(
        route: String?, method: HTTPRequest.Method, status: HTTPResponse.Status, duration: Duration
    ) {
        let route = route ?? "unknown"
        let method = Self.methods.contains(method) ? method.rawValue : "other"
        let dimensions = [("route", route), ("method", method), ("status", "\(status.code)")]
        Counter(label: "http_requests_total", dimensions: dimensions, factory: self.factory).increment()
        Recorder(
            label: "http_request_duration_seconds", dimensions: dimensions, aggregate: true, factory: self.factory
        ).record(duration / .seconds(1))
    }
}

/// Counts what was not accepted as a proof of who somebody is, by reason.
struct AuthFailures: Sendable {
    let factory: any MetricsFactory

    func count(_ error: TokenError) {
        Counter(label: "auth_failures_total", dimensions: [("reason", error.metricLabel)], factory: self.factory)
            .increment()
    }
}

/// A validator that counts the tokens it does not accept, whoever brings them.
struct CountedTokens: TokenValidator {
    let validator: any TokenValidator
    let factory: any MetricsFactory

    func validate(_ token: String) async throws(TokenError) -> Principal {
        do {
            return try await self.validator.validate(token)
        } catch {
            AuthFailures(factory: self.factory).count(error)
            throw error
        }
    }
}

extension TokenError {
    fileprivate var metricLabel: String {
        switch self {
        case .missing: "missing"
        case .invalid: "invalid"
        case .expired: "expired"
        case .untrustedIssuer: "untrusted_issuer"
        }
    }
}
