import Logging
import SyncAuth

extension ConfigurationVariable {
    /// Every setting, in the order in which errors are reported.
    package static let all: [ConfigurationVariable] = core + files + limits + operation + discovery + federation

    static let core: [ConfigurationVariable] = [
        ConfigurationVariable(
            "LISTEN_ADDR", default: "0.0.0.0:5379", valueName: "ADDRESS",
            help: "IP address and port to listen on, […]:port for IPv6, :port for all interfaces",
            sets: \.listenAddress, parse: Self.listenAddress),
        ConfigurationVariable(
            "DATABASE_URL", default: "sqlite:./data/less-sync.db", valueName: "URL",
            help: "postgres://… or postgresql://… as libpq takes it, or sqlite:path",
            note: "The parent directory of a SQLite file is created. `sqlite::memory:` is gone with the process",
            isSecret: true,
            sets: \.database, parse: Self.database),
        ConfigurationVariable(
            "TRUSTED_ISSUERS", valueName: "LIST",
            help: "Issuers whose tokens are accepted, separated by white space, each issuer or issuer=jwks_url",
            note:
                "Both are absolute http(s) URLs. Without a key set URL it is the issuer plus `/.well-known/jwks.json`. "
                + "Slashes at the end of an issuer do not count",
            sets: \.trustedIssuers, parse: Self.trustedIssuers),
        ConfigurationVariable(
            "AUDIENCES", default: "", valueName: "LIST",
            help: "Accepted audiences of tokens, separated by commas; empty: not checked",
            sets: \.audiences, parse: Self.audiences),
        ConfigurationVariable(
            "IDENTITY_HASH_KEY", valueName: "HEX",
            help: "32 bytes in hexadecimal; without it application rate limits are off",
            note:
                "It keys the hash under which a user's actions are counted, so that the table does not tell who they were; "
                + "another key starts the counts anew", isSecret: true,
            sets: \.identityHashKey, parse: Self.identityHashKey),
    ]

    static let limits: [ConfigurationVariable] = [
        .integer(
            "MAX_RECORD_BLOB_SIZE", default: 5_242_880, in: 1...Int.max, wrong: "must be a positive integer",
            help: "Bytes of one record blob", note: "What arrives over a WebSocket is bounded by its 4 MiB anyway",
            sets: \.recordBlobBytesMax),
        .integer(
            "MAX_FILE_SIZE", default: 104_857_600, in: 1...Int.max, wrong: "must be a positive integer",
            help: "Bytes of one file", sets: \.fileBytesMax),
        .integer(
            "DATABASE_POOL_SIZE", default: 10, in: 3...10_000, help: "PostgreSQL connections or SQLite readers",
            note: "Pulls hold at most all but two. On PostgreSQL one more connection listens to other servers",
            sets: \.databasePoolSize),
        .choice(
            "SQLITE_SYNCHRONOUS", default: SQLiteSynchronous.full,
            help: "full: an acknowledged write survives power loss; normal: a crash of the process only",
            sets: \.sqliteSynchronous),
        .integer(
            "MAX_CONNECTIONS_PER_MAILBOX", default: 16, in: 1...1_000_000, help: "Connections of one mailbox",
            note: "In practice those of one user and app",
            sets: \.connectionsPerMailboxMax),
        .integer(
            "MAX_CONNECTIONS", default: 20_000, in: 1...10_000_000, help: "Client sockets in all",
            note: "More get 503 at the upgrade",
            sets: \.connectionsMax),
        .integer(
            "MAX_UNAUTHENTICATED_CONNECTIONS", default: 1_000, in: 1...10_000_000,
            help: "Client sockets that have not authenticated yet", note: "More get 503",
            sets: \.unauthenticatedConnectionsMax),
        .integer(
            "RATE_LIMIT_INVITATIONS_PER_HOUR", default: 10, in: 0...1_000_000_000,
            help: "Invitations of one user; 0: unlimited; needs IDENTITY_HASH_KEY", sets: \.invitationsPerHour),
        .integer(
            "RATE_LIMIT_MEMBERSHIP_APPENDS_PER_HOUR", default: 10, in: 0...1_000_000_000,
            help: "Membership appends of one user; 0: unlimited; needs IDENTITY_HASH_KEY",
            sets: \.membershipAppendsPerHour),
    ]

    static let operation: [ConfigurationVariable] = [
        ConfigurationVariable(
            "SHUTDOWN_TIMEOUT_SECONDS", default: "30", valueName: "N", help: "Upper bound of a graceful shutdown",
            sets: \.shutdownTimeout, parse: Self.shutdownTimeout),
        .boolean(
            "MIGRATE_ON_START", default: true, help: "Bring the schema up to date before listening",
            note: "`false`: refuse to start when it is not",
            sets: \.migratesOnStart),
        ConfigurationVariable(
            "METRICS_LISTEN_ADDR", valueName: "ADDRESS",
            help: "IP address and port of /metrics, a listener of its own; unset: no metrics",
            note: "Whoever reaches it reads them, so keep it off the internet",
            sets: \.metricsAddress, parse: Self.metricsAddress),
        .boolean(
            "HEALTH_DETAILS", default: false, help: "Say more in /health, which is public", sets: \.hasHealthDetails),
        // Ahead of LOG_LEVEL, which wins.
        ConfigurationVariable(
            "RUST_LOG", valueName: "WORD", help: "Log level when LOG_LEVEL is unset", isHidden: true,
            sets: \.logLevel, parse: { Self.level($0) ?? .info }),
        ConfigurationVariable(
            "LOG_LEVEL", default: "info", valueName: "WORD", help: "trace, debug, info, notice, warning or error",
            sets: \.logLevel, parse: Self.logLevel),
        ConfigurationVariable(
            "LOG_FORMAT", valueName: "WORD",
            help: "text or json; when it is unset or empty, text on a terminal and json otherwise",
            sets: \.logFormat, parse: Self.logFormat),
        .boolean(
            "PERF_MODE", default: false,
            help: "For benchmarks: lift the limit of connections per mailbox and the application rate limits",
            sets: \.isPerformanceMode),
        .boolean(
            "ENFORCE_TOKEN_EXPIRY", default: false, help: "Close sockets whose token has been expired for 60 s",
            note: "Unless it was refreshed",
            sets: \.enforcesTokenExpiry),
    ]
}

// MARK: - Parsers

extension ConfigurationVariable {
    private static func listenAddress(_ text: String) throws(ConfigurationError) -> ListenAddress {
        try Self.address(text, of: "LISTEN_ADDR")
    }

    /// Empty means unset.
    private static func metricsAddress(_ text: String) throws(ConfigurationError) -> ListenAddress? {
        text.isEmpty ? nil : try Self.address(text, of: "METRICS_LISTEN_ADDR")
    }

    private static func address(_ text: String, of name: String) throws(ConfigurationError) -> ListenAddress {
        guard let address = ListenAddress(text) else {
            throw ConfigurationError(
                name, "invalid \(name) \(ConfigurationError.quoted(text)): expected an IP address and a port")
        }
        return address
    }

    private static func database(_ text: String) throws(ConfigurationError) -> DatabaseLocation {
        let location: DatabaseLocation
        do {
            location = try DatabaseLocation(text)
        } catch .unsupportedScheme(let scheme) {
            throw ConfigurationError("DATABASE_URL", "unsupported DATABASE_URL scheme \"\(scheme)\"")
        } catch {
            throw ConfigurationError("DATABASE_URL", "DATABASE_URL names no file")
        }
        guard location.isUnderstood else {
            throw ConfigurationError(
                "DATABASE_URL",
                "DATABASE_URL is not a PostgreSQL URL: is a character of the password not percent-encoded?")
        }
        return location
    }

    private static func trustedIssuers(_ text: String) throws(ConfigurationError) -> [TrustedIssuer] {
        var issuers: [TrustedIssuer] = []
        for entry in text.split(whereSeparator: \.isWhitespace) {
            let issuer = try Self.trustedIssuer(entry)
            issuers.removeAll { $0.issuer == issuer.issuer }
            issuers.append(issuer)
        }
        return issuers
    }

    /// `issuer` or `issuer=jwks_url`, split at the first `=`.
    private static func trustedIssuer(_ entry: Substring) throws(ConfigurationError) -> TrustedIssuer {
        let parts = entry.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        func check(_ kind: String, _ url: String) throws(ConfigurationError) {
            guard let reason = AbsoluteURL.problem(of: url) else { return }
            throw ConfigurationError(
                "TRUSTED_ISSUERS", "invalid \(kind) URL \(ConfigurationError.quoted(url)): \(reason)")
        }
        try check("issuer", parts[0])
        guard parts.count == 2 else { return TrustedIssuer(parts[0]) }
        try check("jwks_url", parts[1])
        return TrustedIssuer(parts[0], keySetURL: parts[1])
    }

    private static func audiences(_ text: String) -> [String] {
        text.split(separator: ",").map { Self.trimmed($0) }.filter { !$0.isEmpty }
    }

    private static func identityHashKey(_ text: String) throws(ConfigurationError) -> Secret<[UInt8]>? {
        let digits = Array(Self.trimmed(text[...]))
        guard !digits.isEmpty else { return nil }
        let values = digits.compactMap { $0.isASCII ? $0.hexDigitValue : nil }
        guard values.count == digits.count, values.count.isMultiple(of: 2) else {
            throw ConfigurationError("IDENTITY_HASH_KEY", "IDENTITY_HASH_KEY must be valid hex")
        }
        let bytes = stride(from: 0, to: values.count, by: 2).map { UInt8(values[$0] << 4 | values[$0 + 1]) }
        guard bytes.count == 32 else {
            throw ConfigurationError(
                "IDENTITY_HASH_KEY",
                "IDENTITY_HASH_KEY must be 64 hex characters (32 bytes), got \(bytes.count) bytes")
        }
        return Secret(bytes)
    }

    private static func shutdownTimeout(_ text: String) throws(ConfigurationError) -> Duration {
        guard let seconds = Int(text), (1...86_400).contains(seconds) else {
            throw ConfigurationError(
                "SHUTDOWN_TIMEOUT_SECONDS", "SHUTDOWN_TIMEOUT_SECONDS must be an integer from 1 to 86400")
        }
        return .seconds(seconds)
    }

    private static func logLevel(_ text: String) throws(ConfigurationError) -> Logger.Level {
        guard let level = Self.level(text) else {
            throw ConfigurationError(
                "LOG_LEVEL",
                "invalid LOG_LEVEL \(ConfigurationError.quoted(text)): expected one of trace, debug, info, notice, "
                    + "warning, error")
        }
        return level
    }

    private static func logFormat(_ text: String) throws(ConfigurationError) -> LogFormat? {
        text.isEmpty ? nil : try Self.word("LOG_FORMAT", text)
    }

    private static func level(_ word: String) -> Logger.Level? {
        let word = word.lowercased()
        return word == "warn" ? .warning : Logger.Level(rawValue: word)
    }

    static func trimmed(_ text: Substring) -> String {
        var text = text
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }
}
