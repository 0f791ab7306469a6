/// What a configured URL must look like. The rest of it is the business of whoever serves it.
enum AbsoluteURL {
    /// Why `text` is not an absolute URL with a host, or `nil` when it is one.
    ///
    /// - Parameter schemes: the two that are allowed, in lower case.
    static func problem(of text: String, schemes: [String] = ["http", "https"]) -> String? {
        guard let colon = text.firstIndex(of: ":"), text[colon...].hasPrefix("://"), Self.isScheme(text[..<colon])
        else {
            return "not an absolute URL"
        }
        guard schemes.contains(text[..<colon].lowercased()) else {
            return "must use \(schemes.joined(separator: " or "))"
        }
        guard text.utf8.allSatisfy({ 0x21...0x7e ~= $0 }) else { return "not visible ASCII" }
        let authority = text[text.index(colon, offsetBy: 3)...].prefix { !"/?#".contains($0) }
        let hostAndPort = authority.split(separator: "@", omittingEmptySubsequences: false).last ?? ""
        let host: Substring
        let port: Substring
        if hostAndPort.first == "[", let end = hostAndPort.firstIndex(of: "]") {
            host = hostAndPort[...end].dropFirst().dropLast()
            port = hostAndPort[hostAndPort.index(after: end)...]
        } else {
            host = hostAndPort.prefix { $0 != ":" }
            port = hostAndPort.dropFirst(host.count)
        }
        guard !host.isEmpty else { return "empty host" }
        guard port.isEmpty || port == ":" || port.first == ":" && UInt16(port.dropFirst()) != nil else {
            return "invalid port number"
        }
        return nil
    }

    /// `text` for a log: a password in front of the host is left out, and so is everything from the query on.
    static func withoutUserInfo(_ text: String) -> String {
        let text = text.prefix { !"?#".contains($0) }
        guard let colon = text.firstIndex(of: ":"), text[colon...].hasPrefix("://") else { return String(text) }
        let start = text.index(colon, offsetBy: 3)
        let authority = text[start...].prefix { $0 != "/" }
        guard let at = authority.lastIndex(of: "@") else { return String(text) }
        return String(text[..<start]) + text[text.index(after: at)...]
    }

    private static func isScheme(_ text: Substring) -> Bool {
        text.first?.isLetter == true
            && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "+-.".contains($0)) }
    }
}
