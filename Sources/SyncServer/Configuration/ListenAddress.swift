import NIOCore

/// An IP address and a port to listen on.
package struct ListenAddress: Hashable, Sendable, CustomStringConvertible {
    /// An IPv4 or IPv6 literal, without brackets.
    package var host: String
    /// 0 lets the system choose.
    package var port: Int

    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// `a.b.c.d:p`, `[…]:p`, or `:p` for all interfaces; `nil` for anything else.
    package init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = Self.port(text[text.index(after: colon)...]) else {
            return nil
        }
        var host = text[..<colon]
        let hasBrackets = host.hasPrefix("[") && host.hasSuffix("]")
        if hasBrackets { host = host.dropFirst().dropLast() }
        if host.isEmpty, !hasBrackets { host = "0.0.0.0" }
        guard host.contains(":") == hasBrackets, Self.isLiteral(host) else { return nil }
        self.init(host: String(host), port: port)
    }

    package var isLoopback: Bool {
        guard self.host.contains(":") else { return Self.isLiteral(self.host[...]) && self.host.hasPrefix("127.") }
        guard let address = try? SocketAddress(ipAddress: self.host, port: 0) else { return false }
        return (try? SocketAddress(ipAddress: "::1", port: 0)) == address
    }

    /// All interfaces.
    var isWildcard: Bool {
        ["0.0.0.0", "::"].contains { wildcard in
            (try? SocketAddress(ipAddress: self.host, port: 0)) == (try? SocketAddress(ipAddress: wildcard, port: 0))
        }
    }

    package var description: String {
        self.host.contains(":") ? "[\(self.host)]:\(self.port)" : "\(self.host):\(self.port)"
    }

    private static func port(_ digits: Substring) -> Int? {
        guard !digits.isEmpty, digits.allSatisfy({ $0.isASCII && $0.isWholeNumber }) else { return nil }
        return UInt16(digits).map(Int.init)
    }

    private static func isLiteral(_ host: Substring) -> Bool {
        (try? SocketAddress(ipAddress: String(host), port: 0)) != nil
    }
}
