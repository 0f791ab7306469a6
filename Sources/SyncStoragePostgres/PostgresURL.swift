import CLibPQ

/// What may be said of a connection URL, which may hold a password, and of why libpq could not use it.
enum PostgresURL {
    /// Whether libpq understands the URL. A password with `/`, `#` or `?` in it, not percent-encoded, is cut there, and what
    /// follows is taken for a port and the rest: libpq would quote it.
    static func isUsable(_ url: String) -> Bool {
        guard let options = PQconninfoParse(url, nil) else { return false }
        defer { PQconninfoFree(options) }
        var option = options
        while let keyword = option.pointee.keyword {
            if String(cString: keyword) == "port", let value = option.pointee.val {
                let ports = String(cString: value).split(separator: ",", omittingEmptySubsequences: false)
                guard ports.allSatisfy({ $0.isEmpty || UInt16($0) != nil }) else { return false }
            }
            option += 1
        }
        return true
    }

    /// libpq's reason, for the log: the first line, because later ones may quote what was sent.
    static func reason(of handle: OpaquePointer?) -> String {
        let text = PQerrorMessage(handle).map { String(cString: $0) } ?? ""
        return Self.withoutSecrets(text.split(separator: "\n").first.map(String.init) ?? "no reason given")
    }

    /// A password with an `@` in it ends up in what libpq quotes as the host.
    static func withoutSecrets(_ message: String) -> String {
        let parts = message.split(separator: "\"", omittingEmptySubsequences: false)
        return parts.enumerated().map { index, part in
            index % 2 == 1 && part.contains("@") ? "…" : String(part)
        }.joined(separator: "\"")
    }
}
