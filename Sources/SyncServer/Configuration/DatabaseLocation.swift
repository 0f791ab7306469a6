/// What `DATABASE_URL` names; the scheme picks the backend.
package enum DatabaseLocation: Hashable, Sendable {
    /// A `postgres://` or `postgresql://` URL as libpq takes it. May hold a password.
    case postgres(Secret<String>)
    /// A file whose parent directory is created when missing.
    case sqlite(path: String)
    /// Gone with the process.
    case sqliteInMemory

    package enum ParseError: Error, Hashable, Sendable {
        case unsupportedScheme(String)
        case emptyPath
    }

    package init(_ url: String) throws(ParseError) {
        let scheme = url.prefix { $0 != ":" }
        let rest = url.dropFirst(scheme.count + 1)
        if (scheme == "postgres" || scheme == "postgresql") && rest.hasPrefix("//") {
            self = .postgres(Secret(url))
        } else if scheme == "sqlite", scheme.count < url.count {
            let path = rest.hasPrefix("//") ? rest.dropFirst(2) : rest
            guard !path.isEmpty else { throw .emptyPath }
            self = path == ":memory:" ? .sqliteInMemory : .sqlite(path: String(path))
        } else {
            throw .unsupportedScheme(Self.isScheme(scheme) && scheme.count < url.count ? String(scheme) : "")
        }
    }

    /// Only what looks like a scheme is repeated in a message: other text could be a password.
    private static func isScheme(_ text: Substring) -> Bool {
        text.first?.isLetter == true
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."):
                    true
                default: false
                }
            }
    }
}
