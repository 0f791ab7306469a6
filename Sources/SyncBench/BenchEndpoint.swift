import FoundationEssentials

/// The addresses of a server.
struct BenchEndpoint: Hashable, Sendable {
    /// Of the WebSockets.
    let socket: String
    /// Scheme, host and port, with the scheme `http` or `https`.
    let origin: String
    /// Whether the address given named more than a host.
    let hasPath: Bool

    /// `nil` unless `url` is absolute, `http`, `https`, `ws` or `wss`, and has no query.
    init?(_ url: String) {
        guard let parsed = URL(string: url), let scheme = parsed.scheme?.lowercased(),
            let host = parsed.host(percentEncoded: true), !host.isEmpty, parsed.query == nil, parsed.fragment == nil
        else { return nil }
        let isSecure: Bool
        switch scheme {
        case "http", "ws": isSecure = false
        case "https", "wss": isSecure = true
        default: return nil
        }
        let bracketed = host.contains(":") && !host.hasPrefix("[") ? "[\(host)]" : host
        let authority = bracketed + (parsed.port.map { ":\($0)" } ?? "")
        let path = parsed.path(percentEncoded: true)
        self.hasPath = path != "" && path != "/"
        self.origin = (isSecure ? "https://" : "http://") + authority
        self.socket = (isSecure ? "wss://" : "ws://") + authority + (self.hasPath ? path : "/api/v1/ws")
    }
}
