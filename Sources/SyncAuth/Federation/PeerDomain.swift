/// The name of another server, in the one form in which names are compared (docs/contract/auth.md §9.1).
package struct PeerDomain: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Lower case, without scheme, path, trailing dots and `:443`. Another port stays. Not empty.
    package let description: String

    /// - Parameter text: a name, a name with a port, or a URL.
    /// - Returns: `nil` when nothing is left of it.
    package init?(_ text: some StringProtocol) {
        var name = Substring(text)
        if let scheme = name.firstRange(of: "://") { name = name[scheme.upperBound...] }
        name = name.prefix { $0 != "/" }
        name = Self.withoutTrailingDots(name)
        if name.hasSuffix(":443") { name = Self.withoutTrailingDots(name.dropLast(4)) }
        guard !name.isEmpty else { return nil }
        self.description = Self.lowercased(name)
    }

    /// The domain of a key id (docs/contract/auth.md §8): its host without port.
    ///
    /// - Returns: `nil` unless the text before the last `#` is an http(s) URL without user info whose host is neither empty
    ///   nor begins with a dot.
    package init?(keyID: some StringProtocol) {
        var url = Substring(keyID)
        if let fragment = url.lastIndex(of: "#") { url = url[..<fragment] }
        guard let scheme = url.firstRange(of: "://"),
            ["http", "https"].contains(url[..<scheme.lowerBound].lowercased())
        else { return nil }
        let authority = url[scheme.upperBound...].prefix { !"/?#\\".contains($0) }
        guard !authority.contains("@"), authority.utf8.allSatisfy({ 0x21...0x7e ~= $0 }),
            let host = Self.host(of: authority), host.first != "."
        else { return nil }
        self.init(host)
    }

    package static func < (left: PeerDomain, right: PeerDomain) -> Bool {
        left.description.utf8.lexicographicallyPrecedes(right.description.utf8)
    }

    private static func host(of authority: Substring) -> Substring? {
        let host: Substring
        let rest: Substring
        if authority.first == "[" {
            guard let end = authority.firstIndex(of: "]") else { return nil }
            host = authority[..<end].dropFirst()
            rest = authority[authority.index(after: end)...]
        } else {
            host = authority.prefix { $0 != ":" }
            rest = authority.dropFirst(host.count)
        }
        let isPort = rest.isEmpty || rest == ":" || rest.first == ":" && UInt16(rest.dropFirst()) != nil
        return isPort ? host : nil
    }

    private static func withoutTrailingDots(_ name: Substring) -> Substring {
        var name = name
        while name.last == "." { name.removeLast() }
        return name
    }

    /// ASCII letters alone: other characters have no case in a domain.
    private static func lowercased(_ name: Substring) -> String {
        String(decoding: name.utf8.map { (65...90).contains($0) ? $0 + 32 : $0 }, as: UTF8.self)
    }
}
