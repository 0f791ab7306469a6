import CLibPQ

/// What may be said of a connection URL, which may hold a password, and of why libpq could not use it.
enum PostgresURL {
    /// What the URL says, by the keywords of libpq; `nil` when it cannot be used.
    ///
    /// A password with a `/` or an `@` in it, not percent-encoded, is cut there, and what follows would be taken for a host
    /// or a port, which are quoted when they do not answer: such a URL is refused.
    static func options(of url: String) -> [String: String]? {
        guard !Self.isPasswordCut(in: url), let first = PQconninfoParse(url, nil) else { return nil }
        defer { PQconninfoFree(first) }
        var options: [String: String] = [:]
        var option = first
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val { options[String(cString: keyword)] = String(cString: value) }
            option += 1
        }
        guard Self.list(options["port"]).allSatisfy({ $0.isEmpty || UInt16($0) != nil }) else { return nil }
        return options
    }

    private static func isPasswordCut(in url: String) -> Bool {
        guard let scheme = url.firstRange(of: "://") else { return false }
        var rest = url[scheme.upperBound...]
        if let end = rest.firstIndex(where: { $0 == "@" || $0 == "/" }), rest[end] == "@" {
            rest = rest[rest.index(after: end)...]
        }
        return rest.prefix { $0 != "?" }.contains("@")
    }

    /// Hosts, ports and addresses are lists.
    static func list(_ value: String?) -> [String] {
        value.map { $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init) } ?? []
    }

    /// libpq's reason, for the log: the first line, because later ones may quote what was sent.
    static func reason(of handle: OpaquePointer?) -> String {
        let text = PQerrorMessage(handle).map { String(cString: $0) } ?? ""
        return Self.withoutSecrets(text.split(separator: "\n").first.map(String.init) ?? "no reason given")
    }

    /// A password with an `@` in it ends up in what libpq quotes as the host or the database.
    static func withoutSecrets(_ message: String) -> String {
        let parts = message.split(separator: "\"", omittingEmptySubsequences: false)
        return parts.enumerated().map { index, part in
            index % 2 == 1 && part.contains("@") ? "…" : String(part)
        }.joined(separator: "\"")
    }
}
